"""Prompts in batches of similar length, with results in the order of the questions, and less at once if memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TypeVar

from harness import DataError
from harness.inference.batches import OutOfMemory, ran_out_of_memory
from harness.inference.weights import one_line
from harness_language.conversations import Question, count_images

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Prompt:
    """A question, and the text that the model gets of it."""

    question: Question
    text: str


def run_in_batches(
    prompts: Sequence[Prompt], batch_size: int, run: Callable[[Sequence[Prompt]], Sequence[R]]
) -> list[R]:
    """Return what `run` returns for each prompt, in their order.

    A batch holds prompts with equally many images (processors pad missing ones differently) and similar lengths, the
    longest first, so that memory runs out early if it does. Raises OutOfMemory if a single question does not fit, and
    DataError, naming the question, where `run` raises ValueError, as transformers does for images and placeholders
    that do not match.
    """

    def count(n: int) -> int:
        return count_images(prompts[n].question)

    order = sorted(range(len(prompts)), key=lambda n: (count(n), len(prompts[n].text)), reverse=True)
    results: list[R] = []
    for _, group in groupby(order, key=count):
        results += run_halving([prompts[n] for n in group], batch_size, partial(_name_culprit, run))
    found = dict(zip(order, results, strict=True))
    return [found[n] for n in range(len(prompts))]


def run_halving(items: Sequence[T], at_once: int, run: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
    """Return what `run` returns for `at_once` items at a time; what does not fit into memory is halved, and stays so.

    Raises OutOfMemory if a single item does not fit.
    """
    results: list[R] = []
    while len(results) < len(items):
        now = items[len(results) : len(results) + at_once]
        try:
            results += run(now)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            if len(now) == 1:
                raise OutOfMemory("a single sample does not fit into memory") from error
            at_once = (len(now) + 1) // 2
            _empty_cache()
    return results


def _name_culprit(run: Callable[[Sequence[Prompt]], Sequence[R]], batch: Sequence[Prompt]) -> Sequence[R]:
    try:
        return run(batch)
    except ValueError as error:
        if len(batch) > 1:  # one by one, the question at fault is known
            return [result for prompt in batch for result in _name_culprit(run, [prompt])]
        raise DataError(f"question '{batch[0].question.id}': {one_line(error)}") from error
    except (RuntimeError, MemoryError) as error:
        if len(batch) > 1 or not ran_out_of_memory(error):
            raise
        raise OutOfMemory(f"question '{batch[0].question.id}' alone does not fit into memory") from error


def _empty_cache() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
