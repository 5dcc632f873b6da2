"""Metrics of yes/no questions: accuracy, precision, recall, F1 and the share of yes, and MME's score per image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness import DataError
from harness_metrics.answers import Answered, require_answers
from harness_metrics.choice_metrics import number_groups

QUESTIONS_PER_IMAGE = 2


class YesNo:
    """Accuracy, precision, recall and F1 of "yes", and the share of answers that are "yes".

    An answer that can't be read is wrong and is neither yes nor no: it lowers accuracy and, where "yes" is right,
    recall; it does not count for precision; it stays in the denominator of the share of yes. `readable` is the share
    of answers that are yes or no. The share of yes is best where it equals the truth's, ½ for POPE.
    Source: POPE (Li et al., EMNLP 2023).
    """

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"
    proportion = ("accuracy", "yes_share", "readable")
    title = {  # noqa: RUF012 (as the contract declares it)
        "accuracy": "Accuracy",
        "precision": "Precision of yes",
        "recall": "Recall of yes",
        "f1": "F1 of yes",
        "yes_share": "Share of yes",
        "readable": "Readable",
    }

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return 1 for a right answer, else 0; N."""
        said, truth = read_yes_no(answers, "yes-no")
        return np.asarray(said == truth, np.float64)

    def __call__(self, answers: Answered) -> dict[str, float]:
        """Return the six numbers as fractions; 0 for 0/0.

        Raises DataError for a question whose right answer is neither yes nor no.
        """
        said, truth = read_yes_no(require_answers(answers, "yes-no"), "yes-no")
        hits = float(((said == 1) & (truth == 1)).sum())
        said_yes, is_yes = float((said == 1).sum()), float((truth == 1).sum())
        return {
            "accuracy": float((said == truth).mean()),
            "precision": hits / said_yes if said_yes else 0.0,
            "recall": hits / is_yes if is_yes else 0.0,
            "f1": 2 * hits / (said_yes + is_yes) if said_yes + is_yes else 0.0,
            "yes_share": said_yes / len(answers),
            "readable": float((said >= 0).mean()),
        }


class MmeScore:
    """MME's score: per subtask 100 × (accuracy + accuracy plus), summed over subtasks.

    Each image has two yes/no questions. Accuracy is the share of right answers, accuracy plus the share of images
    whose both answers are right. Subtasks are the questions' `answer_types`; without them all are one. Prompts are
    averaged. Source: Fu et al., "MME", arXiv 2306.13394.
    """

    higher_is_better = True
    title = {  # noqa: RUF012 (as the contract declares it)
        "score": "MME score",
        "accuracy": "MME accuracy",
        "accuracy_plus": "MME accuracy plus",
    }

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return 1 for each answer of an image whose both answers are right, else 0; N."""
        unit, _, right = self._judge_images(answers)
        found: NDArray[np.float64] = right[unit]
        return found

    def __call__(self, answers: Answered) -> dict[str, float]:
        """Return the score, and the means over subtasks of accuracy and accuracy plus as fractions.

        Raises DataError for an image without two questions in its subtask.
        """
        unit, subtask_of_image, both = self._judge_images(require_answers(answers, "mme-score"))
        said, truth = read_yes_no(answers, "mme-score")
        subtask_of_row = subtask_of_image[unit]
        images, rows = np.bincount(subtask_of_image), np.bincount(subtask_of_row)
        accuracy = np.bincount(subtask_of_row, weights=said == truth) / rows
        plus = np.bincount(subtask_of_image, weights=both) / images
        score = 100 * float((accuracy + plus).sum())
        return {"score": score, "accuracy": float(accuracy.mean()), "accuracy_plus": float(plus.mean())}

    def _judge_images(
        self, answers: Answered
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Return the image of each row, the subtask of each image, and whether its both answers are right."""
        said, truth = read_yes_no(answers, "mme-score")
        subtasks = answers.answer_types or ("",) * len(answers)
        keys = zip(subtasks, answers.groups, answers.prompts, answers.orders, strict=True)
        unit, images = number_groups(list(keys))
        rows = np.bincount(unit, minlength=len(images))
        if (rows != QUESTIONS_PER_IMAGE).any():
            image = int((rows != QUESTIONS_PER_IMAGE).argmax())
            of = f" of '{images[image][0]}'" if images[image][0] else ""
            raise DataError(
                f"mme-score: image '{images[image][1]}'{of} has {rows[image]} questions, expected "
                f"{QUESTIONS_PER_IMAGE} per image and subtask"
            )
        subtask, _ = number_groups([image[0] for image in images])
        both = np.bincount(unit, weights=said == truth, minlength=len(images)) == QUESTIONS_PER_IMAGE
        return unit, subtask, both.astype(np.float64)


def read_yes_no(answers: Answered, metric: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what was said and what is true, N each: 1 yes, 0 no, −1 neither (said only).

    Raises DataError, naming the metric, for a question whose right answer is neither yes nor no.
    """
    values = {"yes": 1, "no": 0}
    said, truth = np.full(len(answers), -1), np.zeros(len(answers), np.int64)
    for row in range(len(answers)):
        right = answers.right[row]
        # the right choice says it alone; references may hold several wordings of it
        accepted = answers.list_accepted(row) if right is None else (answers.choices[row][right],)
        known = {values.get(reference.strip().lower(), -1) for reference in accepted}
        if known not in ({0}, {1}):
            shown = ", ".join(repr(reference) for reference in accepted[:2]) or "nothing"
            raise DataError(
                f"{metric}: the right answer to question '{answers.ids[row]}' is {shown}, not yes or no"
            )
        truth[row] = known.pop()
        if answers.outcomes[row] == "ok":
            said[row] = values.get((answers.extracted[row] or "").strip().lower(), -1)
    return said, truth
