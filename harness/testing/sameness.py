"""Whether a data set is the same wherever it is opened, and whether its splits share samples."""

from __future__ import annotations

import pickle
from functools import partial
from itertools import combinations
from typing import Any

from harness.contract.data import Split
from harness.contract.declared import ask
from harness.testing import apart
from harness.testing.dataset_subject import (
    DatasetSubject,
    content_at,
    described_sample,
    described_split,
    some,
)
from harness.testing.outcome import Check, NotChecked, described, expect, must

READ_WHOLE = 3000
"""Splits of at most so many samples are compared by content."""
SHARED = 0.05
"""Of a split's samples: above this share, equal content in two splits is no coincidence of the data."""


def from_another_process(dataset: Any, names: list[str]) -> dict[str, Any]:
    """Runs in the other process: its fingerprint, and what its splits hold."""
    fingerprint = dataset.fingerprint() if ask(dataset, "fingerprint") is not None else ""
    return {"fingerprint": fingerprint, "splits": {n: described_split(dataset, n) for n in names}}


def sent_to_a_worker(split: Any) -> dict[str, list[Any]]:
    """Runs in the other process: samples of a split that travelled there."""
    return {str(i): described_sample(split[i]) for i in some(split)}


def check_order(subject: DatasetSubject) -> None:
    """Opened again, and read in any order or from several threads, a split is the same."""
    from concurrent.futures import ThreadPoolExecutor

    for name, split in subject.splits.items():
        first = described_split(subject.plugin, name, split)
        with must(f"split '{name}' to open a second time", "Every run opens it anew."):
            again = described_split(subject.plugin, name)
        _compare(first, again, f"split '{name}' opened a second time")
        where = some(split)
        with ThreadPoolExecutor(4) as pool:
            threads = list(pool.map(partial(content_at, split), where[::-1]))[::-1]
        stated = [first["samples"][str(i)][2] for i in where]
        expect(
            threads == stated,
            f"samples of split '{name}' to be the same when several threads read them",
            "other ones",
            "With workers, images are read by threads, ahead of their use.",
        )


def check_processes(subject: DatasetSubject) -> None:
    """Another process finds the same samples in the same order, and the same fingerprint."""
    try:
        pickle.dumps(subject.plugin)
    except Exception as error:  # pickle and a plugin's own state may raise anything
        expect(False, "the light data set to pickle", described(error), "Workers get it that way.")
    names = list(subject.splits)
    try:
        there = apart.asked(from_another_process, subject.plugin, names)
    except RuntimeError as error:
        expect(False, "another process to open the data set", error, "Parallel runs and later ones do.")
    here = subject.plugin.fingerprint() if ask(subject.plugin, "fingerprint") is not None else ""
    expect(
        there["fingerprint"] == here,
        f"the fingerprint {here!r} in every process",
        f"{there['fingerprint']!r} in another one",
        "It is part of the cell's id: every cell would run again each time. (Sets and hash() differ by process.)",
    )
    for name in names:
        stated = described_split(subject.plugin, name, subject.splits[name])
        _compare(stated, there["splits"][name], f"split '{name}' in another process")


def _compare(stated: dict[str, Any], other: dict[str, Any], where: str) -> None:
    for key, value in stated.items():
        if key == "samples":
            different = [i for i in value if list(value[i]) != list(other[key].get(i, []))]
            expect(
                not different,
                f"the same samples in {where}",
                f"another sample at position {different[0] if different else ''}",
                "What was measured could not be measured again, and shots drawn by position would differ.",
            )
        else:
            expect(
                other[key] == value,
                f"the same {key} in {where}",
                f"{str(other[key])[:40]} instead of {str(value)[:40]}",
                "What was measured could not be measured again. (Sort what a folder or a set gives.)",
            )


def check_worker(subject: DatasetSubject) -> None:
    """An opened split pickles, and is the same in the worker that gets it."""
    for name, split in subject.splits.items():
        try:
            there = apart.asked(sent_to_a_worker, split)
        except NotChecked:
            raise
        except Exception as error:  # pickle, or the plugin in the other process
            expect(
                False,
                f"split '{name}' to pickle and to be read in a worker process",
                described(error) if not isinstance(error, RuntimeError) else error,
                "Loaders in worker processes get it that way: keep paths, not open files or functions.",
            )
        here = sent_to_a_worker(split)
        _compare({"samples": here}, {"samples": there}, f"split '{name}' in a worker")


def check_disjoint(subject: DatasetSubject) -> None:
    """No sample stands in two splits."""
    splits = subject.splits
    if len(splits) < 2:
        raise NotChecked("there is only one split")
    allowed = {frozenset(pair) for pair in ask(subject.plugin, "overlapping")}
    held = {name: _contents(split) for name, split in splits.items()}
    for one, other in combinations(splits, 2):
        if frozenset((one, other)) in allowed:
            continue
        found = _shared(splits[one], splits[other], held[one], held[other])
        expect(
            not found,
            f"splits '{one}' and '{other}' to share no sample",
            f"{len(found)} with equal content, such as {found[0] if found else ''}",
            "What is trained on would be tested on. (Splits that overlap by design: name the pairs in "
            "the attribute `overlapping`.)",
        )


def _contents(split: Split) -> dict[str, int]:
    """Where each content of a split stands; empty for a large one, or one without images."""
    if len(split) > READ_WHOLE or split[0].image is None:
        return {}
    return {content_at(split, i): i for i in range(len(split))}


def _shared(one: Split, other: Split, here: dict[str, int], there: dict[str, int]) -> list[str]:
    """Pairs of samples in both: of one id and content, or too many of one content for chance."""
    place = {name: i for i, name in enumerate(other.ids)}
    twice = [(i, place[name]) for i, name in enumerate(one.ids) if name in place and one[0].image is not None]
    same = [(i, j) for i, j in twice[:READ_WHOLE] if content_at(one, i) == content_at(other, j)]
    alike = [(here[c], there[c]) for c in here.keys() & there.keys()]
    found = same or (alike if len(alike) > SHARED * min(len(one), len(other)) else [])
    return [f"'{one.ids[i]}' and '{other.ids[j]}'" for i, j in found]


CHECKS: tuple[Check, ...] = (check_order, check_processes, check_worker, check_disjoint)
