"""Metrics of captions that were scored against images: strictly the best, and Winoground's pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness import DataError
from harness_metrics.caption_choices import CaptionChoices, require_choices
from harness_metrics.choice_metrics import number_groups

GROUP_CHANCE = {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6}
"""Winoground's scores of a model that draws the score of each image and caption at random."""


class StrictChoice:
    """The share of images whose right caption scores strictly higher than every other one.

    A tie is wrong, so that a model that finds everything equal is right nowhere, as in the authors' program for
    SugarCrepe (Hsieh et al., NeurIPS 2023); clip_benchmark's counts a tie as right.
    """

    title = "Right caption"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, choices: CaptionChoices) -> NDArray[np.float64]:
        """Return 1 where the right caption is strictly the best, else 0; N."""
        return np.array(
            [
                all(scores[right] > score for n, score in enumerate(scores) if n != right)
                for scores, right in zip(choices.scores, choices.right, strict=True)
            ],
            np.float64,
        )

    def __call__(self, choices: CaptionChoices) -> float:
        """Return the share as a fraction."""
        return float(self.per_sample(require_choices(choices, "strict-choice")).mean())


class GroupScores:
    """Winoground's three scores over pairs of images that share two captions; all comparisons are strict.

    `text`: for both images the right caption scores higher than the other. `image`: for both captions the right image
    does. `group`: both hold. Scores without regard to captions and images get ¼, ¼ and ⅙; a text-only model 0.
    Source: Thrush et al., "Winoground", CVPR 2022.
    """

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"
    title = {  # noqa: RUF012 (as the contract declares it)
        "text": "Winoground text score",
        "image": "Winoground image score",
        "group": "Winoground group score",
    }

    def per_sample(self, choices: CaptionChoices) -> NDArray[np.float64]:
        """Return 1 for each image of a pair whose group score is 1, else 0; N."""
        return self.judge_samples(choices)["group"]

    def judge_samples(self, choices: CaptionChoices) -> dict[str, NDArray[np.float64]]:
        """Return the three scores of each image's pair, N each. Raises DataError as the call does."""
        unit, names = number_groups(choices.groups)
        rows: list[list[int]] = [[] for _ in names]
        for row, number in enumerate(unit.tolist()):
            rows[number].append(row)
        judged = np.array(
            [_judge_pair(choices, name, own) for name, own in zip(names, rows, strict=True)], np.float64
        ).reshape(-1, len(GROUP_CHANCE))
        return {key: judged[unit, n] for n, key in enumerate(GROUP_CHANCE)}

    def __call__(self, choices: CaptionChoices) -> dict[str, float]:
        """Return the three shares of pairs as fractions.

        Raises DataError, naming the group, for one that is no pair of images with the same two captions, each of them
        right for one image.
        """
        judged = self.judge_samples(require_choices(choices, "group-scores"))
        return {key: float(values.mean()) for key, values in judged.items()}


def _judge_pair(choices: CaptionChoices, group: str, rows: list[int]) -> tuple[bool, bool, bool]:
    """Return whether text, image and group score of a pair are 1."""
    if problem := _explain_no_pair(choices, rows):
        raise DataError(
            f"group-scores: group '{group}' {problem}; Winoground's scores are of two images that share two captions, "
            "each right for one of them"
        )
    one, two = rows
    right, other = (choices.choices[row][choices.right[row]] for row in rows)
    fit = {
        (row, caption): score
        for row in rows
        for caption, score in zip(choices.choices[row], choices.scores[row], strict=True)
    }
    text = fit[one, right] > fit[one, other] and fit[two, other] > fit[two, right]
    image = fit[one, right] > fit[two, right] and fit[two, other] > fit[one, other]
    return text, image, text and image


def _explain_no_pair(choices: CaptionChoices, rows: list[int]) -> str | None:
    if len(rows) != 2:
        cut = " (was the split cut, by --limit or without its unreadable samples?)" if len(rows) == 1 else ""
        return f"has {len(rows)} {'image' if len(rows) == 1 else 'images'}{cut}"
    texts = [set(choices.choices[row]) for row in rows]
    if any(len(own) != 2 or len(choices.choices[row]) != 2 for own, row in zip(texts, rows, strict=True)):
        return "has not two different captions for each image"
    if texts[0] != texts[1]:
        return "has other captions for each image"
    if len({choices.choices[row][choices.right[row]] for row in rows}) < 2:
        return "has one caption that is right for both images"
    return None
