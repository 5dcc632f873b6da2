"""The protocol `retrieval`: texts by images and images by texts, with exact ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar

from harness import Dataset, EncodesImages, EncodesTexts, Job, Result, did_you_mean, has
from harness.inference.splits import find_test_split
from harness.inference.zeroshot import similarity_of
from harness_metrics.rankings import Rankings
from harness_retrieval.contracts import RetrievalMethod
from harness_retrieval.retrieval_options import DIRECTIONS, TEXT_TO_IMAGE, RetrievalOptions, find_bank


class RetrievalProtocol(RetrievalOptions):
    """Ranks all texts of a split for each image, or all images for each text, by a frozen model's embeddings.

    The axis `direction` is "image to text" or "text to image" (the default). Without a method, embeddings are compared
    as the model says: by cosine, or by inner products; a method with entailment cones adds the number `inside_cone`, the share
    of texts whose image lies inside theirs. A sample has an image, or the frames of a film, and one or more
    captions; an image-text pair of a data set with labels is an image with one caption. Queries that belong to one
    image count together in intervals and tests.

    Args:
        split: the split to search; by default the test split, else the validation split.
        captions: how many captions of each image count, the first ones; by default all.
        template: text around a caption, which replaces `{}`.
        ties: of equal scores, metrics are the `expected` value over all orders, or the first candidate by `id` is first.
        bank_split: split that gives a method its bank of queries; by default the training split.
        bank: most queries of that bank, drawn at random if there are more.
        depth: how many first candidates of each query are counted, to find hubs.
        memory: megabytes for temporary arrays of the search, beside the embeddings.
        engine: what finds the first candidates: torch, or faiss; both are exact.
    """

    needs = (EncodesImages, EncodesTexts)
    target_kinds = ("captions", "label")
    provides = (Rankings,)
    axes = ("direction",)
    own_numbers = ("queries_per_second", "inside_cone")
    titles: ClassVar = {
        "direction": "Direction", "queries_per_second": "Queries per second",
        "inside_cone": "Images inside their text's cone",
    }  # fmt: skip
    directions: ClassVar = {"queries_per_second": True, "inside_cone": True}
    units: ClassVar = {"inside_cone": "fraction"}
    operational = ("memory", "engine")
    smallest: ClassVar = {
        "cell": {
            "models": [{"plugin": "tiny-clip", "steps": 0}],
            "datasets": [{"plugin": "scene-captions", "count": 24}],
            "metrics": ["recall-at-k"],
            "limit": 16,
        },
    }

    def unavailable(self) -> str | None:
        """Return what the engine lacks on this machine, or None."""
        if self.engine == "faiss" and find_spec("faiss") is None:
            return "engine = 'faiss' needs faiss: pip install 'vision-harness[faiss]', or leave engine out"
        return None

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this model or method can't search this data set, or None."""
        direction = axes.get("direction", TEXT_TO_IMAGE)
        if direction not in DIRECTIONS:
            return f"there is no direction '{direction}'{did_you_mean(str(direction), DIRECTIONS)}"
        if similarity_of(model) == "own":
            return "the model scores images and texts itself (`score`), so it has no embeddings that a search could compare"
        found = find_test_split(dataset.splits, self.split)
        if found.refusal or method is None:
            return found.refusal
        if not has(method, RetrievalMethod):
            return "the method does not say how embeddings are compared: choose one such as dual-softmax, or none"
        return self._explain_bank(dataset, found.name) if method.needs_bank else None

    def _explain_bank(self, dataset: Dataset, tested: str | None) -> str | None:
        """Return why a data set has no bank of queries, or None."""
        name = find_bank(dataset.splits, self.bank_split)
        if name is None:
            asked = f"no split '{self.bank_split}'" if self.bank_split else "no split for training"
            return (
                f"the method needs a bank of training queries, and the data set has {asked}: set bank_split"
            )
        if name == tested:
            return f"the method needs a bank of training queries, and '{name}' is the split that is searched"
        return None

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return assumptions about the split."""
        remark = find_test_split(dataset.splits, self.split).remark
        return [remark] if remark else []

    def run(self, job: Job) -> Result:
        """Rank all candidates for every query."""
        from harness_retrieval.retrieval_cell import RetrievalCell

        return RetrievalCell(self, job).result()

    def warm(self, job: Job) -> None:
        """Compute the embeddings that `run` will ask for."""
        from harness_retrieval.retrieval_cell import RetrievalCell

        RetrievalCell(self, job).warm()
