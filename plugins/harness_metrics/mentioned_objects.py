"""Objects that captions mention, held against those in the image: CHAIR, and how many of them are mentioned."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import DataError, OptionError, did_you_mean
from harness_metrics.answers import Answered, require_answers


class ObjectMetric:
    """Base of the metrics that find objects in captions.

    Args:
        synonyms: the objects and their other names, as a list or a file of lines: `person, man, woman`, the
            object's name first. By default the names of all objects in the evaluated images, without synonyms.
    """

    unit = "fraction"
    bounds = (0.0, 1.0)

    def __init__(self, synonyms: list[str] | Path | None = None) -> None:
        """Store the options."""
        self.synonyms = synonyms

    def _match_objects(self, answers: Answered, metric: str) -> tuple[list[list[str]], list[frozenset[str]]]:
        """Return the objects that each caption mentions, in order, and those in its image or its references."""
        if not answers.objects:
            raise DataError(f"{metric}: the data set does not say which objects its images show")
        names = self._read_names(answers, metric)
        mentions, truth = [], []
        for row, objects in enumerate(answers.objects):
            known = {name.lower() for name in objects}
            if strange := next((name for name in sorted(known) if name not in names), None):
                raise DataError(
                    f"{metric}: the image of sample '{answers.ids[row]}' shows '{strange}', which `synonyms` does not "
                    f"name{did_you_mean(strange, names)}"
                )
            spoken = [find_objects(reference, names) for reference in answers.references[row]]
            truth.append(frozenset(names[name] for name in known).union(*spoken))
            mentions.append(find_objects(answers.texts[row], names))
        return mentions, truth

    def _read_names(self, answers: Answered, metric: str) -> dict[str, str]:
        if self.synonyms is None:
            return {name.lower(): name.lower() for objects in answers.objects for name in objects}
        lines = self.synonyms
        if isinstance(lines, Path):
            try:
                lines = lines.expanduser().read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise OptionError(f"{metric}: {self.synonyms} can't be read as text ({error})") from None
        found: dict[str, str] = {}
        for line in lines:
            names = [name.strip().lower() for name in line.split(",") if name.strip()]
            for name in names:
                if found.setdefault(name, names[0]) != names[0]:
                    raise OptionError(
                        f"{metric}: `synonyms` has '{name}' under both {found[name]} and {names[0]}"
                    )
        return found


class Chair(ObjectMetric):
    """CHAIR: the share of mentioned objects that are not there (`i`), and of captions that mention any (`s`).

    An object is there if the image's annotation or one of its reference captions says so. Each mention counts. A
    caption that mentions nothing hallucinates nothing: read it with `object-coverage` and `answer-rates`.
    Source: Rohrbach et al., EMNLP 2018; there, plurals are found by a language library, here by their endings.
    """

    title = {"i": "CHAIR instance", "s": "CHAIR sentence"}  # noqa: RUF012 (as the contract declares it)
    higher_is_better = False
    proportion = ("s",)

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return 1 for a caption that mentions an object that is not there, else 0; N."""
        mentions, truth = self._match_objects(answers, "chair")
        return np.array([bool(set(m) - t) for m, t in zip(mentions, truth, strict=True)], np.float64)

    def __call__(self, answers: Answered) -> dict[str, float]:
        """Return both shares as fractions; `i` is 0 if no caption mentions any object."""
        mentions, truth = self._match_objects(require_answers(answers, "chair"), "chair")
        absent = [sum(name not in t for name in m) for m, t in zip(mentions, truth, strict=True)]
        spoken = sum(map(len, mentions))
        return {"i": sum(absent) / spoken if spoken else 0.0, "s": float(np.mean(np.array(absent) > 0))}


class ObjectCoverage(ObjectMetric):
    """The share of the objects of an image that its caption mentions, averaged over images that show any."""

    title = "Object coverage"
    higher_is_better = True

    def __call__(self, answers: Answered) -> float:
        """Return the mean share as a fraction. Raises DataError if no image shows an object."""
        mentions, truth = self._match_objects(require_answers(answers, "object-coverage"), "object-coverage")
        shares = [len(t.intersection(m)) / len(t) for m, t in zip(mentions, truth, strict=True) if t]
        if not shares:
            raise DataError("object-coverage: no image shows any object")
        return float(np.mean(shares))


def find_objects(text: str, names: Mapping[str, str]) -> list[str]:
    """Return the objects that a text mentions, in order and as often as it does.

    `names` gives the object for each of its names, in lower case. The longest name counts where several fit ("hot dog"
    is no dog); a plural counts as its singular.
    """
    return [
        names.get(found) or names[_make_singular(found, names)]
        for found in _compile_names(tuple(sorted(names))).findall(text.lower())
    ]


@lru_cache(maxsize=8)
def _compile_names(names: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern of all names and their plurals, the longest first."""
    forms = sorted({form for name in names for form in (name, *_list_plurals(name))}, key=len, reverse=True)
    return re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, forms)) + r")(?![\w-])")


def _list_plurals(name: str) -> list[str]:
    plurals = [f"{name}s"]
    if name.endswith(("s", "x", "z", "ch", "sh", "o")):
        plurals.append(f"{name}es")
    if name.endswith("y"):
        plurals.append(f"{name[:-1]}ies")
    if name.endswith("fe"):
        plurals.append(f"{name[:-2]}ves")
    if name.endswith("man"):
        plurals.append(f"{name[:-2]}en")
    return plurals


def _make_singular(plural: str, names: Mapping[str, str]) -> str:
    return next(name for name in names if plural in _list_plurals(name))
