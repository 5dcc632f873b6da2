"""The protocol `text-study`: all modalities brought to text for a language model, against supervised models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness import Dataset, EncodesImages, EncodesTexts, Job, OptionError, Predictions, Result, has
from harness.contract.capability import explain_missing_capability
from harness.inference.splits import find_test_split, training_split
from harness_language.contracts import AnswersConversations
from harness_metrics.answers import Answered
from harness_metrics.label_sets import LabelSets
from harness_mllm.study_arms import parse_arm
from harness_mllm.study_options import StudyOptions

STUDY_PROBES = ("none", "no image", "another image")


class TextStudyProtocol(StudyOptions):
    """Labels videos or films from their texts alone: titles, and descriptions of frames by a model that sees.

    The design of the study of video popularity (Kayal et al., Findings of ACL 2025): what a language model makes of the
    texts, with and without labelled neighbours, hypotheses stated from examples, and a supervised model's prediction,
    beside supervised models on the same split and embeddings.

    Axes: `arm`, parts joined by `+`: the inputs `title` and `frames`, and to them `neighbours` (the nearest labelled
    training items), `hypotheses` (the model states them once from labelled examples, and then applies them) or
    `prediction` (of the supervised model), or instead of the model a baseline, `knn`, `logistic` or `mlp`; by default
    "title+frames". `probe`: "none", "no image" (frames are left out) or "another image" (each tested item gets the
    frames of another group). Training items are never changed. Embeddings are of what the arm shows, so that a blind
    arm's neighbours are blind too. Answers that can't be read are counted (`unreadable`) and wrong. Items of one group
    (film, channel) count together in intervals and tests.

    Args:
        task: what is asked about an item; the labels are listed below it.
        describe: what is asked about a frame.
        describer: the model that describes frames; by default the cell's model.
        describe_tokens: most new tokens of a description.
        embedder: a model that encodes texts (or images, for `embed = "frames"`); by default TF-IDF of the texts.
        embed: what neighbours and baselines compare: the `text` that the arm shows, or the `frames`.
        neighbours: number of nearest training items, in the prompt and in the vote.
        supervised: the model whose prediction the part `prediction` shows.
        inverse_penalty: inverse strength of the L2 penalty of logistic regression and network.
        examples: labelled examples from which hypotheses are stated.
        hypothesis_tokens: most new tokens of the hypotheses.
        pool: most training items, randomly drawn, that are described and learned from.
        max_tokens: most new tokens of an answer.
        system: text of a system turn before all else.
        split: split to ask about; by default the test split, else the validation split.
        at_once: questions that the model gets in one call, which changes no answer.
    """

    target_kinds = ("label", "label sets")
    provides = (Answered, Predictions, LabelSets)
    axes = ("arm", "probe")
    own_numbers = ("unreadable", "*.supervised", "questions*", "tokens_*")
    titles: ClassVar = {
        "unreadable": "Unreadable", "questions": "Questions", "questions_per_second": "Questions per second",
        "tokens_in": "Tokens read", "tokens_out": "Tokens written", "arm": "Arm", "probe": "Probe",
    }  # fmt: skip
    directions: ClassVar[Mapping[str, bool]] = {"unreadable": False}
    units: ClassVar = {"unreadable": "fraction"}
    operational = ("at_once",)
    smallest: ClassVar = {
        "describe": "What colour is it?",
        "describe_tokens": 4,
        "neighbours": 2,
        "pool": 4,
        "cell": {
            "models": [{"plugin": "tiny-mllm", "steps": 0}],
            "datasets": [{"plugin": "scene-films", "count": 4, "frames": 1}],
            "metrics": ["choice-accuracy"],
            "limit": 4,
        },
    }

    def unavailable(self) -> str | None:
        """Return why describer or embedder can't be used here, or None."""
        for model in (self.describer, self.embedder):
            reason = getattr(model, "unavailable", None)
            if reason is not None and (found := reason()) is not None:
                return str(found)
        return None

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this arm can't be run with this model and data set, or None."""
        where = "the protocol 'text-study'"
        if method is not None:
            return f"{where} takes no method: arms are its axis"
        try:
            arm = parse_arm(axes.get("arm", "title+frames"))
        except OptionError as error:
            return str(error)
        if not has(model, AnswersConversations):
            return explain_missing_capability(model, AnswersConversations, where)
        describer = self.describer if self.describer is not None else model
        if arm.frames:
            if not has(describer, AnswersConversations):
                return explain_missing_capability(
                    describer, AnswersConversations, f"the describer of {where}"
                )
            if not getattr(describer, "sees_images", True):
                return "what describes the frames sees no images: name a describer, or leave frames out of the arm"
        if arm.embeds and self.embedder is not None:
            needed: Any = EncodesImages if self.embed == "frames" else EncodesTexts
            if not has(self.embedder, needed):
                return explain_missing_capability(self.embedder, needed, f"the embedder of {where}")
        if arm.embeds and self.embed == "frames" and not arm.frames:
            return "embed = 'frames' compares frames, which this arm does not show"
        probe = axes.get("probe", "none")
        if probe not in STUDY_PROBES:
            return f"{where} has no probe '{probe}'; known: {', '.join(STUDY_PROBES)}"
        if probe != "none" and not arm.frames:
            return f"the probe '{probe}' changes frames, and this arm shows none"
        if probe == "no image" and arm.embeds and self.embed == "frames":
            return "without frames there is nothing that embed = 'frames' could compare"
        if arm.learns and training_split(dataset.splits) is None:
            return "this arm learns from a training split, and the data set has none"
        return find_test_split(dataset.splits, self.split).refusal

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return assumptions about the split."""
        remark = find_test_split(dataset.splits, self.split).remark
        return [remark] if remark else []

    def run(self, job: Job) -> Result:
        """Describe, compare, ask and measure."""
        from harness_mllm.study_cell import StudyCell

        return StudyCell(self, job).result()

    def measure(self, job: Job, evidence: Mapping[str, Any]) -> dict[str, float]:
        """Return the metrics of kept evidence."""
        from harness_mllm.evidence_kinds import measure_kinds

        return measure_kinds(job, evidence)
