"""How a model sees prompts: which exceed its context, and which classes have the same ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.declared import ask
from harness.inference.zeroshot import fill_template, prompts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.contract.running import Job

ALIKE = 1e-5
"""Unit embeddings nearer than this come from the same tokens: rounding stays below, other words far above."""

CODE = re.compile(r"\d+|n\d{8}|(class|label|c)[ _-]?\d+", re.IGNORECASE)
"""A class name that is a number, or a WordNet id."""

GROUPS = 3
"""Groups of classes with the same prompts that are named one by one."""


def prompt_facts(model: Any, texts: Sequence[str], encoded: NDArray[Any]) -> NDArray[np.int64]:
    """Return 2×N: for each text the first one that equals it for the model, and 1 if it was cut.

    The directions of `encoded`, the texts' embeddings N×D, are compared. A model that does not count its
    tokens (`CountsTokens`) is taken to cut nothing.
    """
    rows = np.asarray(encoded, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.stack([_find_alike(rows / np.maximum(lengths, 1e-12)), find_cut(model, texts)])


def find_cut(model: Any, texts: Sequence[str]) -> NDArray[np.int64]:
    """Return 1 for each text that is longer than the model reads, else 0."""
    if ask(model, "token_counts") is None or not texts:
        return np.zeros(len(texts), np.int64)
    counts = np.asarray(model.token_counts(list(texts)))
    return (counts > int(model.context_length)).astype(np.int64)


def describe_prompts(
    model: Any, class_names: Sequence[str], templates: Sequence[str], facts: NDArray[np.int64]
) -> list[str]:
    """Return how many prompts were cut, and which classes have the same prompts; empty if there is nothing to say."""
    texts = prompts_of(class_names, templates)
    place = {text: n for n, text in enumerate(texts)}
    same, is_cut = facts
    said = []
    if _are_codes(class_names):
        said.append(
            f"class names are numbers or codes ('{class_names[0]}', '{class_names[1]}', …), which tell the model nothing in "
            "a prompt: words for them are given in `class_names`"
        )
    if count := int(is_cut.sum()):
        shared = np.bincount(same, minlength=len(texts))[same] > 1
        alike = int((shared & (is_cut > 0)).sum())
        tail = f"; {alike} of them are alike then" if alike else ""
        said.append(describe_cut(model, "prompts", count, len(texts)) + tail)
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in class_names:
        key = tuple(int(same[place[fill_template(t, name)]]) for t in templates)
        groups.setdefault(key, []).append(name)
    double = [names for names in groups.values() if len(names) > 1]
    prompts = "prompt" if len(templates) == 1 else "prompts"
    for names in double[:GROUPS]:
        more = f", and {len(names) - 2} more," if len(names) > 2 else ""
        later = "the later can't be predicted" if len(names) == 2 else "only the first can be predicted"
        said.append(
            f"classes '{_short(names[0])}' and '{_short(names[1])}'{more} have the same {prompts} for the model: {later}"
        )
    if len(double) > GROUPS:
        said.append(f"{len(double) - GROUPS} more groups of classes have the same {prompts} for the model")
    return said


def remark_prompts(
    job: Job, class_names: Sequence[str], templates: Sequence[str], facts: NDArray[np.int64]
) -> None:
    """Remark `describe_prompts` of a cell's model and data set."""
    where = f"{job.cell.model.label if job.cell.model else ''} on {job.cell.dataset.label}"
    for text in describe_prompts(job.model, class_names, templates, facts):
        job.remark(f"{where}: {text}")


def describe_cut(model: Any, what: str, count: int, total: int) -> str:
    """Return the remark that `count` of `total` texts were cut."""
    return (
        f"{count} of {total} {what} {'are' if count > 1 else 'is'} longer than the {int(model.context_length)} tokens "
        f"the model reads and {'were' if count > 1 else 'was'} cut"
    )


def _find_alike(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each row the first one that is equal up to rounding.

    Rows are compared only with those of nearly the same projection on one random direction.
    """
    direction = np.random.default_rng(0).normal(size=rows.shape[1])
    along = rows @ (direction / np.linalg.norm(direction))
    found = np.arange(len(rows))
    near: list[int] = []
    for n in np.argsort(along, kind="stable"):
        near = [m for m in near if along[n] - along[m] <= ALIKE]
        twin = next((m for m in near if np.linalg.norm(rows[n] - rows[m]) <= ALIKE), None)
        if twin is None:
            near.append(int(n))
        else:
            found[n] = twin
    first: dict[int, int] = {}
    for n, group in enumerate(found.tolist()):
        first.setdefault(group, n)
    return np.array([first[group] for group in found.tolist()], np.int64)


def _are_codes(names: Sequence[str]) -> bool:
    """Return whether class names are numbers or WordNet ids, as in folder names; the ten digits are genuine names."""
    return (
        len(names) > 1
        and all(CODE.fullmatch(name.strip()) for name in names)
        and sorted(names) != [str(digit) for digit in range(10)]
    )


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"
