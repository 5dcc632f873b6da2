"""Checks that a data set is the same wherever it is opened, and that its splits share no samples."""

from __future__ import annotations

import pickle
from functools import partial
from itertools import combinations
from typing import Any

from harness.contract.data import Split
from harness.contract.declared import ask
from harness.testing.dataset_subject import (
    DatasetSubject,
    describe_dataset,
    describe_samples,
    describe_split,
    digest_content,
    pick_positions,
)
from harness.testing.other_process import call_in_other_process
from harness.testing.verdicts import NotChecked, expect, must

READ_WHOLE = 3000
"""Splits of at most this many samples are compared by content."""
SHARED = 0.05
"""Share of a split's samples above which equal content in two splits is not a coincidence of the data."""


def check_order(subject: DatasetSubject) -> None:
    """Opened again, and read in any order or from several threads, a split is the same."""
    from concurrent.futures import ThreadPoolExecutor

    for name, split in subject.splits.items():
        first = describe_split(split)
        with must(f"split '{name}' to open a second time", "Every run opens it again."):
            again = describe_split(subject.plugin.load(name))
        _expect_equal(first, again, f"split '{name}' opened a second time")
        positions = pick_positions(split)
        with ThreadPoolExecutor(4) as pool:
            threads = list(pool.map(partial(digest_content, split), positions[::-1]))[::-1]
        expect(
            threads == [first["samples"][str(i)][2] for i in positions],
            f"samples of split '{name}' to be the same when several threads read them",
            "other ones",
            "With workers, images are read by threads, ahead of their use.",
        )


def check_processes(subject: DatasetSubject) -> None:
    """Another process finds the same samples in the same order, and the same fingerprint."""
    with must("the light data set to pickle", "Workers receive it that way."):
        pickle.dumps(subject.plugin)
    with must("another process to open the data set", "Parallel runs and later ones do."):
        there = call_in_other_process(describe_dataset, subject.plugin, list(subject.splits))
    here = subject.plugin.fingerprint() if ask(subject.plugin, "fingerprint") is not None else ""
    expect(
        there["fingerprint"] == here,
        f"the fingerprint {here!r} in every process",
        f"{there['fingerprint']!r} in another one",
        "It is part of the cell's id: every cell would run again each time. (Sets and hash() differ by process.)",
    )
    for name, split in subject.splits.items():
        _expect_equal(describe_split(split), there["splits"][name], f"split '{name}' in another process")


def check_worker(subject: DatasetSubject) -> None:
    """An opened split pickles, and is the same in the worker that receives it."""
    for name, split in subject.splits.items():
        expected = f"split '{name}' to pickle and to be read in a worker process"
        with must(expected, "Loaders send it to workers that way: keep paths, not open files or functions."):
            there = call_in_other_process(describe_samples, split)
        _expect_equal({"samples": describe_samples(split)}, {"samples": there}, f"split '{name}' in a worker")


def _expect_equal(stated: dict[str, Any], other: dict[str, Any], where: str) -> None:
    for key, value in stated.items():
        found = f"{str(other[key])[:40]} instead of {str(value)[:40]}"
        if isinstance(value, dict):
            found = f"another one at position {next((i for i in value if value[i] != other[key].get(i)), '')}"
        expect(
            other[key] == value,
            f"the same {key} in {where}",
            found,
            "What was measured could not be measured again. (Sort what a folder or a set yields.)",
        )


def check_disjoint(subject: DatasetSubject) -> None:
    """No sample is in two splits."""
    splits = subject.splits
    if len(splits) < 2:
        raise NotChecked("there is only one split")
    allowed = {frozenset(pair) for pair in ask(subject.plugin, "overlapping")}
    contents = {name: _index_contents(split) for name, split in splits.items()}
    for one, other in combinations(splits, 2):
        if frozenset((one, other)) in allowed:
            continue
        found = _find_shared(splits[one], splits[other], contents[one], contents[other])
        expect(
            not found,
            f"splits '{one}' and '{other}' to share no sample",
            f"{len(found)} with equal content, such as {found[0] if found else ''}",
            "What is trained on would be tested on. (Splits that overlap by design: name the pairs in "
            "the attribute `overlapping`.)",
        )


def _index_contents(split: Split) -> dict[str, int]:
    """Return positions by digest of the content; empty for a large split, or one without images."""
    if len(split) > READ_WHOLE or split[0].image is None:
        return {}
    return {digest_content(split, i): i for i in range(len(split))}


def _find_shared(one: Split, other: Split, here: dict[str, int], there: dict[str, int]) -> list[str]:
    """Return pairs of samples in both: of one id and content, or of one content beyond coincidence."""
    place = {name: i for i, name in enumerate(other.ids)}
    twice = [(i, place[name]) for i, name in enumerate(one.ids) if name in place and one[0].image is not None]
    same = [(i, j) for i, j in twice[:READ_WHOLE] if digest_content(one, i) == digest_content(other, j)]
    alike = [(here[c], there[c]) for c in here.keys() & there.keys()]
    found = same or (alike if len(alike) > SHARED * min(len(one), len(other)) else [])
    return [f"'{one.ids[i]}' and '{other.ids[j]}'" for i, j in found]
