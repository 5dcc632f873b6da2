"""Embeddings of a study's items: of their texts by TF-IDF or a model, or of their frames by a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Job, decode
from harness.inference.prompts import describe_cut, find_cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_mllm.study_items import StudyItems

MOST_WORDS = 4096
"""Most words and pairs of words of TF-IDF, the most frequent ones."""


def embed_texts(
    embedder: Any, job: Job, train: Sequence[str], test: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit vectors of training and test texts, M×D and N×D (zeros for a text without a known word).

    Without an embedder they are TF-IDF of words and pairs of words, fitted on the training texts alone (by
    scikit-learn).
    """
    if embedder is None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        made = TfidfVectorizer(max_features=MOST_WORDS, ngram_range=(1, 2), dtype=np.float32)
        fitted = made.fit_transform(train).toarray()
        return fitted, made.transform(test).toarray()
    there = job.at(embedder)
    both = [*train, *test]
    vectors = _encode_all(there, both)
    cut = int(find_cut(there.model, both).sum())
    if cut:
        job.remark(describe_cut(there.model, "texts of items", cut, len(both)))
    return vectors[: len(train)], vectors[len(train) :]


def _encode_all(there: Job, texts: Sequence[str]) -> NDArray[np.float32]:
    import torch

    parts = []
    with torch.inference_mode():
        for at in range(0, len(texts), there.batch_size):
            parts.append(there.model.encode_text(texts[at : at + there.batch_size]).float().cpu().numpy())
    return scale_to_unit(np.concatenate(parts))


def embed_frames(embedder: Any, job: Job, items: StudyItems) -> NDArray[np.float32]:
    """Return a unit vector per item, N×D: the mean of its frames' unit embeddings (CLIP4Clip, Luo et al. 2022).

    They are kept in the feature cache. Raises DataError, naming it, for an item without frames.
    """
    there = job.at(embedder)
    beside = Job(**{**vars(job), "model": there.model, "cell": there.cell})

    def compute() -> NDArray[np.float32]:
        import torch

        split, found = beside.splits(items.split), []
        with torch.inference_mode():
            for n, row in enumerate(items.rows):
                images = split[int(row)].images
                if not len(images):
                    raise DataError(f"item '{items.ids[n]}' has no frames to embed")
                prepared = torch.stack([beside.model.prepare(decode(image)) for image in images])
                vectors = beside.model.encode_image(prepared.to(beside.device)).float().cpu().numpy()
                found.append(scale_to_unit(vectors).mean(axis=0))
        return scale_to_unit(np.stack(found))

    kept = beside.features("mean frame embeddings", items.split, compute, rows=items.rows)
    return np.asarray(kept, np.float32)


def scale_to_unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Return the rows of N×D at length 1; rows of zeros remain."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def find_nearest_items(
    train: NDArray[np.float32],
    test: NDArray[np.float32],
    own: Sequence[str],
    others: Sequence[str],
    count: int,
) -> list[NDArray[np.int64]]:
    """Return for each test item the `count` nearest training items of another group, the nearest first.

    Cosine of unit vectors; of equal ones the earlier counts. `own` are the groups N of the test items, `others` M those
    of the training items. Raises DataError if all training items share an item's group.
    """
    groups = np.asarray(others)
    found = []
    for row, group in enumerate(own):
        likeness = np.where(groups == group, -np.inf, train @ test[row])
        order = np.argsort(-likeness, kind="stable")[:count]
        order = order[np.isfinite(likeness[order])]
        if not len(order):
            raise DataError(f"every training item is of group '{group}', as the tested one is")
        found.append(order.astype(np.int64))
    return found
