"""The contract of a retrieval method: embeddings in, a similarity out that a search can compute in blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import torch

Rescale: TypeAlias = "Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]"
"""`rescale(scores, rows, columns)`: the scores that rank, elementwise from inner products.

`rows` and `columns` are the numbers of queries and candidates, int64; they broadcast against `scores` (b×1 and 1×c
for a block, n and n for single pairs), so that a vector with a value per candidate is read as `vector[columns]`. All
three are on one device. The result has the type of `scores`, which is float64 in a search. It must be of order one:
a search takes differences below 1e-12 for rounding.
"""


@dataclass(frozen=True, eq=False)
class RetrievalTask:
    """Embeddings of one direction of retrieval: `queries` N×D and `gallery` M×D, float32.

    They have unit length, unless the model compares by inner products. `bank`: B×D embeddings of training queries, of
    the same modality as the queries; None unless the method needs them. `memory`: bytes for temporary arrays.
    """

    queries: torch.Tensor
    gallery: torch.Tensor
    bank: torch.Tensor | None = None
    memory: int = 2**28


@dataclass(frozen=True, eq=False)
class Similarity:
    """What ranks: inner products of `queries` N×E and `gallery` M×E, rescaled elementwise if `rescale` is given.

    `remarks`: what the method found in these embeddings that readers of its ranks should know.
    """

    queries: torch.Tensor
    gallery: torch.Tensor
    rescale: Rescale | None = None
    remarks: tuple[str, ...] = ()


@runtime_checkable
class RetrievalMethod(Protocol):
    """A plugin that turns embeddings into the similarity that ranks; it imports torch only in `fit`.

    `needs_bank`: whether `task.bank` must hold embeddings of training queries. A method that reads more than the one
    query which it ranks (all test queries, say) states it in its `remarks`.
    """

    needs_bank: bool

    def fit(self, task: RetrievalTask) -> Similarity: ...
