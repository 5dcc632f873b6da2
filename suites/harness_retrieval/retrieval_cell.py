"""One cell of the protocol `retrieval`: embeddings, the similarity, exact ranks, and the result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Job, Result, derive_seed
from harness.contract.targets import target_kind
from harness.inference.evaluate import compute_metrics, measure_samples
from harness.inference.evaluation_facts import describe_preparation
from harness.inference.prompts import describe_cut
from harness.inference.splits import find_test_split
from harness.inference.zeroshot import fill_template, similarity_of
from harness_metrics.rankings import Rankings
from harness_retrieval.block_scores import check_embeddings
from harness_retrieval.captioned_images import CaptionedImages, read_captioned_images
from harness_retrieval.contracts import RetrievalTask, Similarity
from harness_retrieval.embeddings import embed_images, embed_texts, remark_zeros, require_both
from harness_retrieval.retrieval_options import IMAGE_TO_TEXT, TEXT_TO_IMAGE, RetrievalOptions, find_bank
from harness_retrieval.search import rank_positives, top_k

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

CONVENTIONS = {
    "R@k": "a query counts as found if any of its positives is among the first k",
    "positives": "a text is right for its own image alone, also where another image has the same text",
    "expected": "of equal scores, metrics are the expectation over all orders",
    "id": "of equal scores, the candidate that comes first in the data is first",
}


@dataclass(frozen=True, eq=False)
class Side:
    """The queries or the candidates: their ids, what they say or show, groups and embeddings."""

    ids: Sequence[str]
    shown: Sequence[str]
    groups: Sequence[str]
    vectors: torch.Tensor


class RetrievalCell:
    """One direction of retrieval on one split. Raises DataError for samples that can't be ranked."""

    def __init__(self, options: RetrievalOptions, job: Job) -> None:
        self.options, self.job, self.label = options, job, job.cell.dataset.label
        self.direction = str(job.cell.axes.get("direction", TEXT_TO_IMAGE))
        found = find_test_split(job.dataset.splits, options.split)
        if found.name is None:
            raise DataError(f"{self.label}: {found.refusal}")
        self.name = found.name
        self.data = self._read(self.name)

    def result(self) -> Result:
        """Embed, rank and measure."""
        queries, gallery, rate = self._embed()
        positives: list[Any] = list(self.data.texts_of_images)
        if self.direction == TEXT_TO_IMAGE:
            positives = [[owner] for owner in self.data.owners.tolist()]
        began = time.perf_counter()
        similarity = self._fit(queries.vectors, gallery.vectors)
        rankings, best = self._rank(similarity, queries, gallery, positives)
        seconds = max(time.perf_counter() - began, 1e-9)
        metrics = compute_metrics(self.job, rankings)
        cost = {"queries_per_second": len(rankings) / seconds}
        if rate is not None:
            cost["samples_per_second"] = rate
        samples = self._list_samples(rankings, queries, gallery, best)
        if (inside := self._find_inside_cones(queries, gallery)) is not None:
            metrics["inside_cone"] = float(inside.mean())
            if self.direction == TEXT_TO_IMAGE:
                samples["inside_cone"] = inside.astype(np.float32)
        return Result(
            metrics,
            len(rankings),
            samples,
            cost=cost,
            notes=self._describe(rankings),
            evidence={"": rankings},
        )

    def warm(self) -> None:
        """Compute what `result` will ask of the feature cache."""
        embed_images(self.job, self.name, self.data.rows)
        embed_texts(self.job, self._word(self.data.texts))
        if self.job.method is not None and self.job.method.needs_bank:
            self._embed_bank()

    def _read(self, name: str) -> CaptionedImages:
        kind = target_kind(self.job.dataset)
        return read_captioned_images(self.job.splits(name), kind, self.options.captions, self.label)

    def _word(self, texts: Sequence[str]) -> list[str]:
        return [fill_template(self.options.template, text) for text in texts]

    def _embed(self) -> tuple[Side, Side, float | None]:
        """Return queries, candidates, and images per second."""
        data, job = self.data, self.job
        for remark in data.remarks:
            job.remark(remark)
        if shared := data.count_shared_texts():
            job.remark(
                f"{self.label}: {shared} of {len(data.texts)} texts are also the text of another image, for which they "
                "don't count as right"
            )
        pixels, rate = embed_images(job, self.name, data.rows)
        texts, cut = embed_texts(job, self._word(data.texts))
        if cut:
            job.remark(f"{self.label}: {describe_cut(job.model, 'texts', cut, len(data.texts))}")
        check_embeddings(pixels, f"{self.label}, images", data.image_ids)
        check_embeddings(texts, f"{self.label}, texts", data.text_ids)
        require_both(pixels, texts, job.cell.model.label if job.cell.model else "the model")
        remark_zeros(job, pixels, "images")
        remark_zeros(job, texts, "texts")
        images = Side(data.image_ids, data.image_ids, data.groups, pixels)
        words = Side(data.text_ids, data.texts, [data.groups[n] for n in data.owners.tolist()], texts)
        return (images, words, rate) if self.direction == IMAGE_TO_TEXT else (words, images, rate)

    def _fit(self, queries: torch.Tensor, gallery: torch.Tensor) -> Similarity:
        method = self.job.method
        if method is None:
            return Similarity(queries, gallery)
        bank = self._embed_bank() if method.needs_bank else None
        device, memory = self.job.device, self.options.memory * 2**20
        if device.type == "cuda":
            queries, gallery = queries.to(device), gallery.to(device)
            bank = None if bank is None else bank.to(device)
        similarity: Similarity = method.fit(RetrievalTask(queries, gallery, bank, memory))
        for remark in similarity.remarks:
            self.job.remark(remark)
        return similarity

    def _find_inside_cones(self, queries: Side, gallery: Side) -> NDArray[np.bool_] | None:
        """Return whether each text's image lies in the text's entailment cone, M; None if the method has no cones."""
        find = getattr(self.job.method, "inside_cone", None)
        if find is None:
            return None
        images, texts = (queries, gallery) if self.direction == IMAGE_TO_TEXT else (gallery, queries)
        return np.asarray(find(images.vectors[self.data.owners], texts.vectors), bool)

    def _embed_bank(self) -> torch.Tensor:
        """Return embeddings of training queries, of which at most `bank` are drawn, the same for all models."""
        name = find_bank(self.job.dataset.splits, self.options.bank_split)
        if name is None:
            raise DataError(f"{self.label}: has no split to take a bank of queries from: set bank_split")
        data, most = self._read(name), self.options.bank
        from_images = self.direction == IMAGE_TO_TEXT
        count = len(data.rows) if from_images else len(data.texts)
        chosen = np.arange(count)
        if count > most:
            chosen = np.sort(
                np.random.default_rng(derive_seed("query bank", name, most)).permutation(count)[:most]
            )
            self.job.remark(
                f"the bank has {most} of the {count} queries of the split '{name}', drawn at random"
            )
        if from_images:
            vectors = embed_images(self.job, name, data.rows[chosen])[0]
        else:
            vectors = embed_texts(self.job, self._word([data.texts[n] for n in chosen.tolist()]))[0]
        ids = data.image_ids if from_images else data.text_ids
        check_embeddings(vectors, f"{self.label}, bank", [ids[n] for n in chosen.tolist()])
        return vectors

    def _rank(
        self, similarity: Similarity, queries: Side, gallery: Side, positives: Sequence[Sequence[int]]
    ) -> tuple[Rankings, NDArray[np.int64]]:
        """Return the rankings, and the first candidate of each query, N."""
        options, device, memory = self.options, self.job.device, self.options.memory * 2**20
        both = similarity.queries, similarity.gallery
        levels = rank_positives(
            *both, positives, rescale=similarity.rescale, ties=options.ties, memory=memory, device=device
        )
        engine = (
            options.engine if similarity.rescale is None else "torch"
        )  # faiss can't rescale; ranks are the same
        found = top_k(
            *both, options.depth, rescale=similarity.rescale, memory=memory, engine=engine, device=device
        )
        first = found[1].numpy()
        occurrences = np.bincount(first.reshape(-1), minlength=len(gallery.ids))
        rankings = Rankings(
            queries.ids, queries.groups, len(gallery.ids), *levels, occurrences, min(options.depth, len(gallery.ids))
        )  # fmt: skip
        return rankings, first[:, 0]

    def _list_samples(
        self, rankings: Rankings, queries: Side, gallery: Side, best: NDArray[np.int64]
    ) -> dict[str, Any]:
        """Return a row per query; the queries of one image share their cluster."""
        columns: dict[str, Any] = {"id": list(rankings.ids)}
        if len(set(rankings.groups)) < len(rankings):
            columns["cluster"] = list(rankings.groups)
        columns |= {
            "direction": [self.direction] * len(rankings), "query": list(queries.shown), "rank": rankings.first_rank,
            "best_match": [gallery.ids[n] for n in best.tolist()],
            "best_match_is": [gallery.shown[n] for n in best.tolist()],
        }  # fmt: skip
        return columns | measure_samples(self.job, rankings)

    def _describe(self, rankings: Rankings) -> dict[str, Any]:
        """Return what decided the numbers, for the record."""
        options, split = self.options, self.job.splits(self.name)
        return {
            "split": self.name, "direction": self.direction, "queries": len(rankings), "candidates": rankings.gallery,
            "images": len(self.data.rows), "texts": len(self.data.texts), "template": options.template,
            "captions": options.captions or "all", "depth": rankings.depth, "similarity": similarity_of(self.job.model),
            "found": CONVENTIONS["R@k"], "positives": CONVENTIONS["positives"], "ties": CONVENTIONS[options.ties],
        } | describe_preparation(self.job, split)  # fmt: skip
