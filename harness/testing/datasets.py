"""What is expected of a data set: splits that end, ids and labels that hold, samples that can be read."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.contract.data import Split
from harness.contract.declared import ask
from harness.errors import HarnessError
from harness.testing import general, sameness
from harness.testing.dataset_subject import DatasetSubject, digest_of, some
from harness.testing.outcome import Check, described, expect, must
from harness.testing.targets import check_targets


def check_splits(subject: DatasetSubject) -> None:
    """The splits have names, each once, and one that is not there is refused."""
    names = subject.names
    expect(
        bool(names) and all(isinstance(n, str) for n in names) and len(set(names)) == len(names),
        "`splits` to be a sequence of different names",
        repr(names),
        "Protocols choose a split by its name.",
    )
    wrong = "no-such-split"
    try:
        subject.plugin.load(wrong)
    except HarnessError:
        return
    except Exception as error:  # any other kind of error is what is looked for
        expect(
            False,
            f"load('{wrong}') to raise harness.DataError that names the splits",
            described(error),
            "The text is all that a user sees of a typing error in a suite.",
        )
    expect(False, f"load('{wrong}') to raise harness.DataError", "an answer", "A typing error would be run.")


def check_length(subject: DatasetSubject) -> None:
    """A split has as many ids and labels as samples, and ends where it ends."""
    for name, split in subject.splits.items():
        counts = {"len(split)": len(split), "ids": len(split.ids), "targets": len(split.targets)}
        expect(
            len(set(counts.values())) == 1 and len(split) > 0,
            f"split '{name}' to have samples, as many as ids and targets",
            str(counts),
            "Predictions are set against targets by position.",
        )
        try:
            split[len(split)]
        except IndexError:
            continue
        except Exception as error:  # any other kind of error is what is looked for
            found = described(error)
        else:
            found = "an answer"
        expect(
            False,
            f"split '{name}' to raise IndexError behind its last sample",
            found,
            "A loop over the split would never end, or end with an error.",
        )


def check_samples(subject: DatasetSubject) -> None:
    """A sample has the id and label that its split lists at its position, and an image that can be read."""
    from harness.inference.images import decode

    for name, split in subject.splits.items():
        for i in some(split):
            with must(f"sample {i} of split '{name}' to be read", "It will be, in every run."):
                sample = split[i]
                for image in sample.images:
                    decode(image, str(sample.id))
            kind = ask(subject.plugin, "target_kind")
            single = kind == "label" and np.ndim(split.targets) == 1  # no other sample has a label of its own
            stated = (str(split.ids[i]), int(split.targets[i]) if single else int(sample.label))
            expect(
                (sample.id, int(sample.label)) == stated,
                f"sample {i} of split '{name}' to have the id and label that the split lists, {stated}",
                f"{(sample.id, sample.label)}",
                "Metrics read the lists, models the samples: predictions would be set against other labels.",
            )
            expect(
                kind in ("label", "label sets", "none")
                or digest_of(sample.target) == digest_of(split.targets[i]),
                f"sample {i} of split '{name}' to have the `target` that the split lists",
                f"{str(sample.target)[:60]}",
                "Metrics read the lists, models the samples: answers would be held against other targets.",
            )


def check_ids(subject: DatasetSubject) -> None:
    """The ids of a split are texts, each once."""
    for name, split in subject.splits.items():
        ids = list(split.ids)
        repeated = next((i for i, n in _counted(ids).items() if n > 1), None)
        texts = all(isinstance(i, str) for i in ids)
        expect(
            texts and repeated is None,
            f"the ids of split '{name}' to be different texts",
            f"'{repeated}' more than once" if texts else f"an id of type {type(ids[0]).__name__}",
            "Paired tests bring the predictions of two models together by the samples' ids.",
        )


def _counted(ids: list[Any]) -> dict[Any, int]:
    from collections import Counter

    return Counter(ids)


def check_labels(subject: DatasetSubject) -> None:
    """Labels are whole numbers inside the class list; −1 stands for none, in a split without any."""
    for name, split in subject.splits.items():
        names = ask(split, "class_names")
        light = ask(subject.plugin, "class_names")
        expect(
            not isinstance(light, list | tuple) or not light or names is None or list(light) == list(names),
            f"a data set that names its classes before it is loaded to name those of split '{name}'",
            f"{light}, and {names} in the split",
            "Classes and a model's outputs are matched by name at planning, and again when the data is there.",
        )
        expect(
            not isinstance(names, str | np.ndarray),
            f"the class names of split '{name}' to be a list or a tuple",
            f"{type(names).__name__}",
            "Protocols ask whether there are any: an array has no answer, and a text is one name per letter.",
        )
        kind = ask(subject.plugin, "target_kind")
        if kind not in ("label", "label sets"):
            _check_class_facts(name, split, names)
            continue
        several = kind == "label sets"
        wanted = (
            f"the targets of split '{name}' to be an array of N{'×C' if several else ''} whole numbers, as its "
            f"target_kind '{kind}' says"
        )
        why = "They index the columns of the logits. (Targets of other kinds: state `target_kind`.)"
        with must(wanted, why):
            targets = np.asarray(split.targets)
        whole = targets.ndim == 1 + several and np.issubdtype(targets.dtype, np.integer)
        expect(whole, wanted, f"{targets.dtype} of shape {targets.shape}", why)
        if several:
            _check_label_sets(name, split, targets)
            continue
        if (
            targets == -1
        ).all():  # an unlabelled part, such as the images of a domain, or a test set to predict
            _check_class_facts(name, split, names)
            continue
        top = len(names) if names else int(np.max(targets)) + 1
        wrong = np.flatnonzero((targets < 0) | (targets >= top))
        expect(
            not len(wrong),
            f"every label of split '{name}' inside its class list, 0 to {top - 1}",
            f"{int(targets[wrong[0]])} at sample '{split.ids[wrong[0]]}'" if len(wrong) else "",
            "There is no logit to set it against.",
        )
        _check_class_facts(name, split, names)


def _check_label_sets(name: str, split: Split, targets: Any) -> None:
    names = ask(split, "class_names")
    right = bool(np.isin(targets, (-1, 0, 1)).all()) and (not names or targets.shape[1] == len(names))
    expect(
        right,
        f"the targets of split '{name}', whose samples have several labels, to be 1, 0 or −1 for each class",
        f"{np.unique(targets)[:5]} in {targets.shape[1]} columns for {len(names or ())} classes",
        "They are set against the columns of the scores.",
    )
    _check_class_facts(name, split, names)


def _check_class_facts(name: str, split: Split, names: Any) -> None:
    if names:
        expect(
            all(isinstance(n, str) and n.strip() for n in names),
            f"the class names of split '{name}' to be texts",
            repr([n for n in names if not (isinstance(n, str) and n.strip())][:3]),
            "Zero-shot prompts are made of them.",
        )
    groups = ask(split, "label_indices")
    if groups is not None and names:
        expect(
            len(groups) == len(names) and all(len(g) and min(g) >= 0 for g in groups),
            f"`label_indices` of split '{name}' to hold, for each of its {len(names)} classes, at least one index",
            f"{len(groups)} entries" if len(groups) != len(names) else "an empty or a negative one",
            "A classifier's logits are brought to the split's classes by them.",
        )
    templates = ask(split, "templates") or []
    expect(
        all("{}" in t for t in templates),
        f"every template of split '{name}' to have a place {{}} for the class name",
        repr([t for t in templates if "{}" not in t][:2]),
        "All classes would get the same prompt.",
    )


CHECKS: tuple[Check, ...] = (
    *general.CHECKS,
    check_splits,
    check_length,
    check_samples,
    check_ids,
    check_labels,
    check_targets,
    *sameness.CHECKS,
)
