"""Items of a study: titles, groups, targets, and a description of each frame in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness import DataError, Job, derive_seed
from harness.contract.declared import ask
from harness_language.conversations import ImagePart, ModelAnswer, Question, Turn
from harness_mllm.study_arms import Arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_mllm.study_options import StudyOptions

UNDESCRIBED = "(no description)"
"""Stands for a frame whose description was refused or failed."""

Described = list[list[tuple[str, bool]]]
"""By item and frame a description, and whether it was cut."""

ITEMS_AT_ONCE = 32
"""Items whose frames are in memory together."""


@dataclass(frozen=True)
class StudyItems:
    """N items of a split: rows of the split, and what is known of each; targets N, or N×C of 1 and 0 (−1: not counted)."""

    split: str
    rows: NDArray[np.int64]
    ids: list[str]
    groups: list[str]
    titles: list[str]
    targets: NDArray[np.int64]
    class_names: list[str]

    def __len__(self) -> int:
        return len(self.ids)


def read_study_items(job: Job, name: str, rows: NDArray[np.int64] | None, titled: bool) -> StudyItems:
    """Return some items of a split (all without `rows`).

    Raises DataError without class names or items, and if titles are needed and an item's split has neither `titles` nor
    texts.
    """
    split, label = job.splits(name), job.cell.dataset.label
    if rows is None:
        rows = np.arange(len(split), dtype=np.int64)
    names = [str(n) for n in ask(split, "class_names") or ()]
    if not len(rows) or len(names) < 2:
        lack = "no items" if not len(rows) else "no class names"
        raise DataError(f"{label}: split '{name}' has {lack}")
    ids = [str(split.ids[int(row)]) for row in rows]
    groups, titles = getattr(split, "groups", None), getattr(split, "titles", None)
    if titled and titles is None:
        titles = [split[row].text or "" for row in range(len(split))]
        if not any(titles):
            raise DataError(f"{label}: split '{name}' has no titles: leave out the arms that show them")
    return StudyItems(
        name, rows, ids, [str(groups[int(row)]) for row in rows] if groups is not None else list(ids),
        [str(titles[int(row)]) if titled and titles is not None else "" for row in rows],
        np.asarray(split.targets)[rows].astype(np.int64), names,
    )  # fmt: skip


def describe_frames(options: StudyOptions, job: Job, items: StudyItems) -> list[list[str]]:
    """Return a description of each frame of each item, asked once per describer, split and prompt.

    They are shared by all arms of a worker, and kept in the feature cache if local weights decide them; a served
    model's own log of answers keeps those of others. A frame that is not described is `UNDESCRIBED`, with a remark.
    Raises DataError if there is no frame, and if none could be described.
    """
    there = job.at(options.describer) if options.describer is not None else job
    beside = Job(**{**vars(job), "model": there.model, "cell": there.cell})

    def compute() -> NDArray[np.uint8]:
        return np.frombuffer(json.dumps(_ask_all(options, beside, items)).encode(), np.uint8)

    def fetch() -> Described:
        if ask(beside.model, "module") is None:
            kept = compute()
        else:
            kept = beside.features(
                "frame descriptions", items.split, compute, rows=items.rows, prompt=options.describe,
                tokens=options.describe_tokens,
            )  # fmt: skip
        found: Described = json.loads(bytes(np.asarray(kept, np.uint8)))
        return found

    key = ("frame descriptions", items.split, items.rows.tobytes(), options.describe, options.describe_tokens)
    kept = beside.shared((*key, job.cell.dataset.identity, job.cell.limit), fetch, of="model")
    texts = [[text for text, _ in frames] for frames in kept]
    lost = sum(text == UNDESCRIBED for frames in texts for text in frames)
    total = sum(len(frames) for frames in texts)
    if lost == total:
        what = "no frame of '{}' could be described" if total else "no item of '{}' has a frame"
        raise DataError(f"{job.cell.dataset.label}: {what.format(items.split)}")
    if lost:
        job.remark(f"{lost} of {total} frames of '{items.split}' were not described: refused or failed")
    if cut := sum(was_cut for frames in kept for _, was_cut in frames):
        job.remark(f"{cut} of {total} descriptions of '{items.split}' were cut at describe_tokens")
    return texts


def _ask_all(options: StudyOptions, job: Job, items: StudyItems) -> Described:
    split = job.splits(items.split)
    found: Described = []
    for at in range(0, len(items), ITEMS_AT_ONCE):
        part = [split[int(row)].images for row in items.rows[at : at + ITEMS_AT_ONCE]]
        questions = [
            Question(
                f"{items.ids[at + n]}#frame{m}", (Turn("user", (ImagePart(image), options.describe)),),
                options.describe_tokens,
            )
            for n, images in enumerate(part)
            for m, image in enumerate(images)
        ]  # fmt: skip
        answers: list[ModelAnswer] = job.model.generate(questions) if questions else []
        left = iter(answers)
        found += [[_read_description(next(left)) for _ in images] for images in part]
        job.advance(min(at + ITEMS_AT_ONCE, len(items)), len(items))
    return found


def _read_description(answer: ModelAnswer) -> tuple[str, bool]:
    return " ".join(answer.text.split()) or UNDESCRIBED, answer.status == "truncated"


def write_items(arm: Arm, items: StudyItems, described: Sequence[Sequence[str]] | None) -> list[str]:
    """Return what an arm shows of each item: its title, and a line for each frame's description."""
    found = []
    for n, title in enumerate(items.titles):
        lines = [f"Title: {title}"] if arm.title else []
        if arm.frames and described is not None:
            lines += [f"Frame {m}: {text}" for m, text in enumerate(described[n], 1)]
        found.append("\n".join(lines) or "(nothing is known)")
    return found


def exchange_items(groups: Sequence[str], seed: object) -> NDArray[np.int64]:
    """Return for each item one of another group, whose frames it gets: the next in a random order.

    Raises DataError if an item has no other group to exchange with.
    """
    order = np.random.default_rng(derive_seed("another film's frames", seed)).permutation(len(groups))
    found = np.empty(len(groups), np.int64)
    for place, row in enumerate(order):
        others = (int(order[(place + step) % len(order)]) for step in range(1, len(order)))
        other = next((o for o in others if groups[o] != groups[row]), None)
        if other is None:
            raise DataError(
                f"item of group '{groups[row]}': there is no other group whose frames it could be shown"
            )
        found[row] = other
    return found
