"""From samples to questions: what is asked about a sample, with its choices, by each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness import Answers, DataError, Split, derive_seed
from harness.contract.declared import ask
from harness_language.answer_extraction import LETTERS
from harness_language.conversations import ImagePart, Question, Turn
from harness_mllm.answering_options import AnsweringOptions


@dataclass(frozen=True)
class Item:
    """One sample to ask about: its images, its question, its accepted answers, and its whole conversation if it has one."""

    id: str
    group: str
    images: tuple[ImagePart, ...]
    question: str
    target: Answers
    turns: tuple[Turn, ...] | None = None
    answer_type: str = ""
    objects: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """The answer that a shot shows: the right choice, else the first accepted answer."""
        target = self.target
        return target.choices[target.right] if target.right is not None else target.references[0]


def read_item(options: AnsweringOptions, split: Split, row: int) -> Item:
    """Return what is asked about a sample; a label becomes the right one of the class names.

    Captions become accepted answers to the option `question`. Raises DataError for a sample without question or
    answer, and for labels without class names.
    """
    sample = split[row]
    target: Any = split.targets[row]
    question = _column(split, "questions", row) or sample.text
    if isinstance(target, list | tuple) and all(isinstance(text, str) for text in target):
        target, question = Answers(tuple(target)), options.question
    elif not isinstance(target, Answers):
        names = list(ask(split, "class_names") or ())
        if not isinstance(target, int | np.integer) or not names:
            raise DataError(f"sample '{sample.id}' has neither accepted answers nor a label with class names")
        target, question = Answers((names[int(target)],), tuple(names), int(target)), options.question
    if not target.references and target.right is None:
        raise DataError(f"sample '{sample.id}' has no accepted answer")
    if not question:
        raise DataError(f"sample '{sample.id}' has no question")
    group = _column(split, "groups", row)
    return Item(
        str(sample.id), str(sample.id if group is None or group == "" else group), tuple(map(ImagePart, sample.images)), question,
        target, _column(split, "turns", row), str(_column(split, "answer_types", row) or ""),
        tuple(_column(split, "objects", row) or ()),
    )  # fmt: skip


def _column(split: Split, name: str, row: int) -> Any:
    values = getattr(split, name, None)
    return None if values is None else values[row]


def order_choices(item: Item, order: int) -> Item:
    """Return the item with its choices turned by `order` places (circular evaluation, MMBench)."""
    target, count = item.target, len(item.target.choices)
    if not order or not count:
        return item
    choices = tuple(target.choices[(n + order) % count] for n in range(count))
    right = None if target.right is None else (target.right - order) % count
    return replace(item, target=replace(target, choices=choices, right=right))


def permute_choices(item: Item, seed: object) -> Item:
    """Return the item with its choices in an order that depends on the seed and the sample's id alone."""
    target = item.target
    if len(target.choices) < 2:
        return item
    rng = np.random.default_rng(derive_seed("choices", seed, item.id))
    order = rng.permutation(len(target.choices)).tolist()
    right = None if target.right is None else order.index(target.right)
    choices = tuple(target.choices[n] for n in order)
    return replace(item, target=replace(target, choices=choices, right=right))


def list_letters(item: Item) -> tuple[str, ...]:
    """Return the letters of an item's choices. Raises DataError for more choices than there are letters."""
    if (count := len(item.target.choices)) > len(LETTERS):
        raise DataError(
            f"sample '{item.id}' has {count} choices, more than there are letters: set show = 'list'"
        )
    return LETTERS[:count]


def write_prompt(options: AnsweringOptions, item: Item, prompt: str) -> str:
    """Return the text of a question by one of the prompts."""
    choices = item.target.choices
    shown = ""
    if options.show == "list":
        shown = ", ".join(choices)
    elif options.show == "letters":
        lines = zip(list_letters(item), choices, strict=True)
        shown = "\n".join(f"{letter}. {choice}" for letter, choice in lines)
    return prompt.format(question=item.question, choices=shown)


def say_answer(options: AnsweringOptions, item: Item) -> str:
    """Return the answer of a shot: its letter if choices are shown with letters."""
    right = item.target.right
    return LETTERS[right] if options.show == "letters" and right is not None else item.answer


def build_question(
    options: AnsweringOptions, item: Item, prompt: int, order: int, shots: Sequence[Item] = ()
) -> Question:
    """Return the conversation that ends with the item's question.

    Images come before the question, in their order. Each shot is a turn of the user and the answer of the assistant.
    An item that is a conversation keeps its turns. The id tells sample, prompt and order of choices.
    """
    template = options.prompts[prompt]
    turns: list[Turn] = [Turn("system", (options.system,))] if options.system else []
    if item.turns is not None:
        turns += item.turns
    else:
        for shot in shots:
            turns.append(Turn("user", (*shot.images, write_prompt(options, shot, template))))
            turns.append(Turn("assistant", (say_answer(options, shot),)))
        turns.append(Turn("user", (*item.images, write_prompt(options, item, template))))
    choices = tuple(item.target.choices) if options.restrict and item.target.choices else None
    if choices is not None and options.show == "letters":
        choices = list_letters(item)
    return Question(f"{item.id}#{prompt}#{order}", tuple(turns), options.max_tokens, options.stop, choices)
