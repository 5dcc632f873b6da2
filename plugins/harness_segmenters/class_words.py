"""The words that stand for each class in prompts, and scores of classes from those of words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness import OptionError
from harness.inference.classes import normalise_class_name

if TYPE_CHECKING:
    import torch

BACKGROUND = "background"


def read_class_words(names: Sequence[str], where: str) -> dict[str, list[str]]:
    """Return the words by class of entries "class=word, word". Raises OptionError for another form, and for two of one."""
    found: dict[str, list[str]] = {}
    for entry in names:
        name, _, rest = entry.partition("=")
        words = [word.strip() for word in rest.split(",")]
        key = normalise_class_name(name)
        if not key or not all(words):
            raise OptionError(f"{where}: names must be of the form class=word, word, not '{entry}'")
        if key in found:
            raise OptionError(f"{where}: names has two entries for the class '{name.strip()}'")
        found[key] = words
    return found


class ClassWords:
    """The Q words of C classes: those given for a class, otherwise its name.

    With a threshold, the class "background" has words only if some are given.

    Args:
        class_names: the data set's classes.
        given: words by normalised class name.
        threshold: the probability below which a pixel is background; None if no pixel is so.
    """

    def __init__(
        self, class_names: Sequence[str], given: Mapping[str, Sequence[str]], threshold: float | None
    ) -> None:
        keys = [normalise_class_name(name) for name in class_names]
        self.background = keys.index(BACKGROUND) if BACKGROUND in keys else None
        self.threshold = threshold if self.background is not None else None
        self.words: list[str] = []
        self.rows: list[list[int]] = []
        for place, (key, name) in enumerate(zip(keys, class_names, strict=True)):
            own = list(given.get(key, [name]))
            if self.threshold is not None and place == self.background and key not in given:
                own = []
            self.rows.append(list(range(len(self.words), len(self.words) + len(own))))
            self.words += own
        self.remarks: list[str] = []
        if threshold is not None and self.background is None:
            self.remarks.append(f"there is no class '{BACKGROUND}': the threshold has no effect")
        if self.background is not None and threshold is None and BACKGROUND not in given:
            self.remarks.append(f"the class '{BACKGROUND}' is described by its name alone")
        if idle := [key for key in given if key not in keys]:
            self.remarks.append(
                f"names for {len(idle)} class{'es' * (len(idle) > 1)} that the data set does not have are left out "
                f"(first: '{idle[0]}')"
            )

    def combine(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits C×H×W of classes from those of words Q×H×W.

        A class counts as its best word. The background's logit is at least log(threshold · Σ exp(logits)): it is the
        highest exactly where no word's probability reaches the threshold.
        """
        import torch

        found = [logits[rows[0]] if len(rows) == 1 else None for rows in self.rows]
        for place, rows in enumerate(self.rows):
            if len(rows) > 1:
                found[place] = logits[rows].amax(dim=0)
        if self.threshold is not None:
            assert self.background is not None
            least = logits.logsumexp(dim=0) + math.log(self.threshold)
            own = found[self.background]
            found[self.background] = least if own is None else torch.maximum(own, least)
        return torch.stack([one for one in found if one is not None])
