"""The protocol `caption-choice`: which of several captions belongs to an image, with hard negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness import Dataset, Job, Result, has
from harness.inference.splits import find_test_split
from harness_language.contracts import ScoresContinuations
from harness_metrics.caption_choices import CaptionChoices
from harness_retrieval.choice_options import ChoiceOptions
from harness_retrieval.choice_scoring import find_way


class CaptionChoosing(ChoiceOptions):
    """Scores the captions of each image of a data set with choices, one of which is right.

    A model that encodes images and texts scores a caption by its similarity to the image. A model that judges texts
    alone, and a language model that sees no images, by the caption itself: what these reach can be had without
    looking, and belongs beside every number of a model that looks (SugarCrepe, Hsieh et al., NeurIPS 2023). Multimodal
    language models are asked the same data sets by the protocol `answering` with how = "likelihood".

    Ties count as wrong. Every metric has also a number for each of the split's `categories`, such as replaced objects
    or swapped words, and their mean, `<metric>.category-mean`. Samples of one of its `groups` count together in
    intervals and tests.

    Args:
        split: the split to evaluate; by default that for testing, else that for validation.
        fewest: a category of fewer samples has no number of its own.
        prompt: what a language model answers with the caption.
        normalise: log-likelihood of the whole caption (`sum`), which is lower for longer ones, or per `token`.
    """

    target_kinds = ("answers",)
    provides = (CaptionChoices,)
    axes = ()
    own_numbers = ("*.category-mean",)
    smallest: ClassVar = {
        "cell": {
            "models": [{"plugin": "tiny-clip", "tower": "resnet", "steps": 0}],
            "datasets": [{"plugin": "scene-choices", "count": 4}],
            "metrics": ["strict-choice"],
            "limit": 4,
        }
    }

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this model can't choose among this data set's captions, or None."""
        if method is not None:
            return "the protocol 'caption-choice' takes no method: leave `methods` out"
        if find_way(model) is None:
            if has(model, ScoresContinuations):
                return (
                    "the model sees images and scores continuations: ask it by the protocol 'answering' with "
                    "how = 'likelihood'"
                )
            return (
                "the model neither encodes images and texts nor judges texts alone: choose one that does, such as "
                "tiny-clip, open_clip or ngram-plausibility"
            )
        return find_test_split(dataset.splits, self.split).refusal

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return assumptions about the split, and that a model does not look."""
        remark = find_test_split(dataset.splits, self.split).remark
        blind = find_way(model) not in ("images", None)
        said = "scored by the caption alone, without the image: a score above chance needs no looking"
        return [text for text in (remark, said if blind else None) if text]

    def run(self, job: Job) -> Result:
        """Score all captions and measure them."""
        from harness_retrieval.choice_cell import ChoiceCell

        return ChoiceCell(self, job).result()

    def warm(self, job: Job) -> None:
        """Compute the embeddings that `run` will ask for."""
        from harness_retrieval.choice_cell import ChoiceCell

        ChoiceCell(self, job).warm()

    def measure(self, job: Job, evidence: Mapping[str, Any]) -> dict[str, float]:
        """Return the metrics of kept scores, with those by category."""
        from harness_retrieval.choice_cell import measure_choices

        return measure_choices(job, evidence, self.fewest)
