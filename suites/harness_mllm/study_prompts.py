"""Prompts of a study, and what is read from their answers: a label by its letter or name, or a list of labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness_language.answer_extraction import LETTERS, extract_choice
from harness_language.conversations import Question, Turn
from harness_metrics.label_set_f1 import THRESHOLD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_mllm.study_options import StudyOptions

_INTRODUCTION = re.compile(r"^[^:;\n]{0,60}:\s*")
_BETWEEN = re.compile(r"[,&]|\band\b", re.IGNORECASE)


class StudyPrompts:
    """Writes the prompts of a study with given classes; one label per item is answered by its letter, if letters suffice."""

    def __init__(self, options: StudyOptions, class_names: Sequence[str], several: bool) -> None:
        self.options, self.names, self.several = options, list(class_names), several
        self.lettered = not several and len(self.names) <= len(LETTERS)

    def say_target(self, target: NDArray[np.int64]) -> str:
        """Return an item's label as an example shows it: "B. drama", or "action; drama"."""
        if self.several:
            return (
                "; ".join(name for name, there in zip(self.names, target, strict=True) if there == 1)
                or "none"
            )
        number = int(target)
        return f"{LETTERS[number]}. {self.names[number]}" if self.lettered else self.names[number]

    def say_prediction(self, scores: NDArray[np.float64]) -> str:
        """Return what a supervised model predicts of an item, with its probability."""
        if self.several:
            return self.say_target((scores >= THRESHOLD).astype(np.int64))
        best = np.asarray(scores.argmax(), np.int64)
        return f"{self.say_target(best)} (probability {min(1.0, float(scores.max())):.2f})"

    def list_classes(self) -> str:
        """Return the classes as the prompt shows them."""
        if self.lettered:
            return "\n".join(f"{letter}. {name}" for letter, name in zip(LETTERS, self.names, strict=False))
        return "; ".join(self.names)

    def ask_hypotheses(self, examples: Sequence[tuple[str, str]]) -> Question:
        """Return the question for hypotheses about what decides the label, from labelled examples."""
        shown = self._show_examples(examples)
        text = (
            f"{shown}\n\nThe task for further items will be: {self.options.task}\nLabels:\n{self.list_classes()}\n"
            "State at most five short hypotheses about what tells the label of an item, one in each line."
        )
        return self._ask("hypotheses", text, self.options.hypothesis_tokens)

    def ask_label(
        self, id: str, item: str, neighbours: Sequence[tuple[str, str]], hypotheses: str, prediction: str
    ) -> Question:
        """Return the question for an item's label; what is empty is left out. The nearest neighbour stands last."""
        parts = []
        if hypotheses:
            parts.append(f"Hypotheses about the labels:\n{hypotheses}")
        if neighbours:
            parts.append(self._show_examples(neighbours))
        parts.append(f"The item:\n{item}")
        if prediction:
            parts.append(f"A trained model predicts: {prediction}")
        if self.several:
            how = "Answer with all labels that fit, separated by semicolons."
        else:
            how = f"Answer with the {'letter' if self.lettered else 'name'} of the right label."
        parts.append(f"{self.options.task}\n{self.list_classes()}\n{how}")
        return self._ask(f"{id}#study", "\n\n".join(parts), self.options.max_tokens)

    def read_label(self, text: str) -> int | None:
        """Return the class that an answer names, or None if it can't be told."""
        return extract_choice(text, self.names, LETTERS if self.lettered else ())

    def read_label_set(self, text: str) -> list[int] | None:
        """Return the classes that an answer lists, sorted, or None if it names none or anything that is no class.

        Labels stand between semicolons or in lines of their own, else between commas and "and"; a beginning that ends in
        a colon is left out. "none" alone is the empty set.
        """
        folded = {name.strip().casefold(): n for n, name in enumerate(self.names)}
        said = _INTRODUCTION.sub("", text.strip(), count=1)
        if _clean(said) == "none" and "none" not in folded:
            return []
        found: set[int] = set()
        for part in re.split(r"[;\n]", said):
            if not _clean(part):
                continue
            whole = folded.get(_clean(part))
            pieces = [p for p in map(_clean, _BETWEEN.split(part)) if p] if whole is None else []
            if whole is None and any(piece not in folded for piece in pieces):
                return None
            found |= {whole} if whole is not None else {folded[piece] for piece in pieces}
        return sorted(found) if found else None

    def _show_examples(self, examples: Sequence[tuple[str, str]]) -> str:
        shown = [f"Example {n}:\n{text}\nLabel: {label}" for n, (text, label) in enumerate(examples, 1)]
        return "Labelled examples:\n\n" + "\n\n".join(shown)

    def _ask(self, id: str, text: str, tokens: int) -> Question:
        system = (Turn("system", (self.options.system,)),) if self.options.system else ()
        return Question(id, (*system, Turn("user", (text,))), tokens)


def _clean(part: str) -> str:
    return part.strip(" \t\r\n.*-•\"'`").casefold()
