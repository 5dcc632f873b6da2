"""Checks of a data set: splits that end, ids and labels that hold, samples that can be read."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from harness.contract.data import Split
from harness.contract.declared import ask
from harness.errors import HarnessError
from harness.testing.dataset_subject import DatasetSubject, digest_value, pick_positions
from harness.testing.verdicts import Violation, describe_error, expect, must


def check_splits(subject: DatasetSubject) -> None:
    """The splits have different names, and a name that is not there is refused."""
    names = subject.names
    expect(
        bool(names) and all(isinstance(n, str) for n in names) and len(set(names)) == len(names),
        "`splits` to be a sequence of different names",
        repr(names),
        "Protocols choose a split by its name.",
    )
    found = "an answer"
    try:
        subject.plugin.load("no-such-split")
    except HarnessError:
        return
    except Exception as error:  # any other kind of error is what is looked for
        found = describe_error(error)
    expected = "load('no-such-split') to raise harness.DataError that names the splits"
    raise Violation(expected, found, "The text is all that a user sees of a typing error in a suite.")


def check_length(subject: DatasetSubject) -> None:
    """A split has as many ids and labels as samples, and raises IndexError past its last sample."""
    for name, split in subject.splits.items():
        counts = {"len(split)": len(split), "ids": len(split.ids), "targets": len(split.targets)}
        expect(
            len(set(counts.values())) == 1 and len(split) > 0,
            f"split '{name}' to have samples, as many as ids and targets",
            counts,
            "Predictions are set against targets by position.",
        )
        found = "an answer"
        try:
            split[len(split)]
        except IndexError:
            continue
        except Exception as error:  # any other kind of error is what is looked for
            found = describe_error(error)
        why = "A loop over the split would never end, or end with an error."
        raise Violation(f"split '{name}' to raise IndexError past its last sample", found, why)


def check_samples(subject: DatasetSubject) -> None:
    """A sample has the id and label that its split lists at its position, and an image that can be read."""
    from harness.inference.images import decode

    kind = ask(subject.plugin, "target_kind")
    for name, split in subject.splits.items():
        for i in pick_positions(split):
            with must(f"sample {i} of split '{name}' to be read", "It will be, in every run."):
                sample = split[i]
                for image in sample.images:
                    decode(image, str(sample.id))
            single = kind == "label" and np.ndim(split.targets) == 1  # else the split lists no labels
            stated = (str(split.ids[i]), int(split.targets[i]) if single else int(sample.label))
            why = "Metrics read the lists, models the samples: answers would be held against other targets."
            expect(
                (sample.id, int(sample.label)) == stated,
                f"sample {i} of split '{name}' to have the id and label that the split lists, {stated}",
                (sample.id, sample.label),
                why,
            )
            expect(
                kind in ("label", "label sets", "none")
                or digest_value(sample.target) == digest_value(split.targets[i]),
                f"sample {i} of split '{name}' to have the `target` that the split lists",
                str(sample.target)[:60],
                why,
            )


def check_ids(subject: DatasetSubject) -> None:
    """The ids of a split are texts, each once."""
    for name, split in subject.splits.items():
        ids: list[Any] = list(split.ids)
        repeated = next((i for i, n in Counter(ids).items() if n > 1), None)
        texts = all(isinstance(i, str) for i in ids)
        expect(
            texts and repeated is None,
            f"the ids of split '{name}' to be different texts",
            f"'{repeated}' more than once" if texts else f"an id of type {type(ids[0]).__name__}",
            "Paired tests match the predictions of two models by the samples' ids.",
        )


def check_labels(subject: DatasetSubject) -> None:
    """Labels are whole numbers inside the class list, or −1 throughout a split without labels."""
    kind, light = (ask(subject.plugin, name) for name in ("target_kind", "class_names"))
    for name, split in subject.splits.items():
        names = ask(split, "class_names")
        expect(
            not isinstance(light, list | tuple) or not light or names is None or list(light) == list(names),
            f"a data set that names its classes before it is loaded to name those of split '{name}'",
            f"{light}, and {names} in the split",
            "Classes and a model's outputs are matched by name at planning, and again when the data is there.",
        )
        expect(
            not isinstance(names, str | np.ndarray),
            f"the class names of split '{name}' to be a list or a tuple",
            type(names).__name__,
            "Protocols test its truth value, which an array lacks, and a text would be one name per letter.",
        )
        if kind in ("label", "label sets"):
            _check_label_array(name, split, names, kind)
        _check_class_facts(name, split, names)


def _check_label_array(name: str, split: Split, names: Any, kind: str) -> None:
    """Check targets N of indices (or −1 in all), or N×C of 1, 0 and −1 for samples with several labels."""
    several = kind == "label sets"
    expected = (
        f"the targets of split '{name}' to be an array of N{'×C' if several else ''} whole numbers, as its "
    )
    expected += f"target_kind '{kind}' says"
    why = "They index the columns of the logits. (Targets of other kinds: state `target_kind`.)"
    with must(expected, why):
        targets = np.asarray(split.targets)
    whole = targets.ndim == 1 + several and np.issubdtype(targets.dtype, np.integer)
    expect(whole, expected, f"{targets.dtype} of shape {targets.shape}", why)
    if several:
        expect(
            bool(np.isin(targets, (-1, 0, 1)).all()) and (not names or targets.shape[1] == len(names)),
            f"the targets of split '{name}', sets of labels, to be 1, 0 or −1 for each class",
            f"{np.unique(targets)[:5]} in {targets.shape[1]} columns for {len(names or ())} classes",
            "They are set against the columns of the scores.",
        )
    elif not (targets == -1).all():  # an unlabelled part, such as a domain's images, or a test set to predict
        top = len(names) if names else int(np.max(targets)) + 1
        wrong = np.flatnonzero((targets < 0) | (targets >= top))
        expect(
            not len(wrong),
            f"every label of split '{name}' inside its class list, 0 to {top - 1}",
            f"{int(targets[wrong[0]])} at sample '{split.ids[wrong[0]]}'" if len(wrong) else "",
            "There is no logit to set it against.",
        )


def _check_class_facts(name: str, split: Split, names: Any) -> None:
    unnamed = [n for n in names or () if not (isinstance(n, str) and n.strip())]
    expected, why = f"the class names of split '{name}' to be texts", "Zero-shot prompts are made of them."
    expect(not unnamed, expected, repr(unnamed[:3]), why)
    groups = ask(split, "label_indices")
    if groups is not None and names:
        expect(
            len(groups) == len(names) and all(len(g) and min(g) >= 0 for g in groups),
            f"`label_indices` of split '{name}' to hold indices for each of its {len(names)} classes",
            f"{len(groups)} entries" if len(groups) != len(names) else "an empty or a negative one",
            "A classifier's logits are mapped to the split's classes by them.",
        )
    blank = [t for t in ask(split, "templates") or [] if "{}" not in t]
    expected = f"every template of split '{name}' to have a place {{}} for the class name"
    expect(not blank, expected, repr(blank[:2]), "All classes would get the same prompt.")
