"""The protocol `answering`: a model answers questions about images, by words or by likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness import Dataset, Job, Predictions, Result, has
from harness.contract.capability import explain_missing_capability
from harness.contract.declared import ask
from harness.inference.splits import find_test_split
from harness_language.contracts import AnswersConversations, ScoresContinuations
from harness_metrics.answers import Answered
from harness_mllm.answering_options import AnsweringOptions
from harness_mllm.probe_names import PERMUTED, PROBE_NAMES, SHOT_PROBES


class AnsweringProtocol(AnsweringOptions):
    """Asks a model the questions of a data set, and measures what it answers.

    Axes: `shots`, the number of solved examples before each question (0 if absent), drawn from another split; `probe`,
    what is changed about the questions to see whether the model looked: "none" (the default), "no image", "another
    image", "images reversed", "choices permuted", "shot labels flipped", "shot labels random", "shot images shuffled" or "shots
    without images".

    A question of several prompts or orders of choices has several answers; all count, as repeated measures of one
    sample. Refused, failed and unreadable answers are counted apart and are never right. Questions about one image
    count together in intervals and tests.

    Args:
        how: let the model say its answer, or compare the likelihoods of the choices.
        prompts: templates of the question, with `{question}` and maybe `{choices}`; by default the question alone.
        show: what `{choices}` is: a list of them, or a line for each with a letter, which is then the answer.
        restrict: let models that can restrict themselves to the choices (or their letters) do so.
        normalise: likelihood of the whole choice (`sum`), per `token` or `byte`, or less that under a `blank` image.
        circular: ask each question with every turn of its choices (MMBench).
        max_tokens: most new tokens of an answer.
        stop: texts at which an answer ends.
        system: text of a system turn before all else.
        question: what is asked about images of a data set with labels, whose class names are the choices, or with
            captions, which are the accepted answers.
        shots_from: split to draw shots from; by default the training split.
        selection: one random set for all questions, or for each question those with the most `similar` images.
        embedder: a model that encodes images, for similar shots.
        split: split to ask about; by default the test split, else the validation split.
        at_once: questions that the model gets in one call, which changes no answer.
    """

    target_kinds = ("answers", "label", "captions")
    provides = (Answered, Predictions)
    axes = ("shots", "probe")
    own_numbers = ("*.ranking", "questions*", "tokens_*", "images_shown")
    titles: ClassVar = {
        "questions": "Questions", "questions_per_second": "Questions per second", "tokens_in": "Tokens read",
        "tokens_out": "Tokens written", "images_shown": "Images shown", "probe": "Probe",
    }  # fmt: skip
    directions: Mapping[str, bool] = {}
    operational = ("at_once",)
    smallest: ClassVar = {
        "cell": {
            "models": [{"plugin": "tiny-mllm", "steps": 0}],
            "datasets": [{"plugin": "scene-questions", "count": 4, "kinds": ["colour"]}],
            "metrics": ["choice-accuracy"],
            "limit": 4,
        },
    }

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this model can't be asked about this data set, or None."""
        if method is not None:
            return "the protocol 'answering' takes no method: prompts are its options"
        needed = AnswersConversations if self.how == "generate" else ScoresContinuations
        if not has(model, needed):
            return explain_missing_capability(
                model, needed, f"the protocol 'answering' with how = '{self.how}'"
            )
        if self.how == "likelihood" and ask(dataset, "target_kind") == "captions":
            return "captions are no choices to compare by likelihood: set how = 'generate'"
        shots, probe = axes.get("shots", 0), axes.get("probe", "none")
        if not isinstance(shots, int) or isinstance(shots, bool) or shots < 0:
            return f"shots must be a whole number of at least 0, not {shots!r}"
        if probe not in PROBE_NAMES:
            return f"there is no probe '{probe}'; known: {', '.join(PROBE_NAMES)}"
        if probe == PERMUTED and self.show == "none":
            return f"the probe '{probe}' changes the order in which choices are shown, and none are: set show"
        if self.how == "likelihood" and self.normalise == "blank":
            blind = "this model" if not getattr(model, "sees_images", True) else ""
            if unseeing := blind or (f"the probe '{probe}'" if probe == "no image" else ""):
                return f"normalise = 'blank' is 0 for every choice without images, and {unseeing} has none"
        if probe in SHOT_PROBES and not shots and not getattr(dataset, "shots", 0):
            return f"the probe '{probe}' changes shots, and there are none"
        return find_test_split(dataset.splits, self.split).refusal

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return assumptions about the split."""
        remark = find_test_split(dataset.splits, self.split).remark
        return [remark] if remark else []

    def run(self, job: Job) -> Result:
        """Ask all questions and measure the answers."""
        from harness_mllm.answering_cell import AnsweringCell

        return AnsweringCell(self, job).result()

    def measure(self, job: Job, evidence: Mapping[str, Any]) -> dict[str, float]:
        """Return the metrics of kept answers and rankings."""
        from harness_mllm.evidence_kinds import measure_kinds

        return measure_kinds(job, evidence)
