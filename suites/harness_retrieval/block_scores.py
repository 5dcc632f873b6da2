"""Scores of queries and candidates in blocks: float32 with a bound of its error, and float64 where that decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness import DataError

if TYPE_CHECKING:
    from harness_retrieval.contracts import Rescale

MEMORY = 2**28
TOLERANCE = 1e-12
"""Scores that differ by less, as a share of the product of the vectors' norms, are equal: float64 rounds."""
MAX_ROWS = 256
_UNIT = 2.0**-24
"""Rounding of float32, relative."""


def check_embeddings(embeddings: torch.Tensor, what: str, ids: Sequence[str] | None = None) -> None:
    """Raise DataError unless the embeddings are N×D, N and D ≥ 1, and finite; it names the row, or its id."""
    if embeddings.ndim != 2 or not embeddings.numel() or not embeddings.is_floating_point():
        raise DataError(
            f"{what}: embeddings must be floats N×D, found {embeddings.dtype} {tuple(embeddings.shape)}"
        )
    wrong = [~torch.isfinite(part).all(dim=1) for part in embeddings.split(4096)]
    rows = torch.cat(wrong).nonzero()[:, 0]
    if len(rows):
        first = int(rows[0])
        name = f"of '{ids[first]}'" if ids is not None else f"in row {first}"
        more = f" ({len(rows)} such rows)" if len(rows) > 1 else ""
        raise DataError(f"{what}: the embedding {name} has NaN or infinite values{more}: nothing ranks them")


@dataclass(frozen=True, eq=False)
class ScoreBlock:
    """Scores b×c of queries `rows` and candidates `columns`; each is within `error` (b) of the float64 score."""

    rows: slice
    columns: slice
    scores: torch.Tensor
    error: torch.Tensor


class BlockScores:
    """All scores of queries N×D and a gallery M×D in blocks, within `memory` bytes beyond the two.

    Without `rescale` blocks are float32, with the bound (D + 4)·2⁻²⁴·‖q‖·max‖g‖ of their error, which holds for any
    order of summation (Higham 2002, section 3.1). With it, blocks are float64, and `exact` is true. `tolerance`:
    N float64, by how much a query's inner products may differ and still be equal.

    The bound holds inside `full_precision`.

    Raises DataError if the shapes do not fit, or for NaN and infinite values.
    """

    def __init__(
        self,
        queries: torch.Tensor,
        gallery: torch.Tensor,
        rescale: Rescale | None = None,
        memory: int = MEMORY,
        device: torch.device | str | None = None,
    ) -> None:
        check_embeddings(queries, "queries")
        check_embeddings(gallery, "gallery")
        if queries.shape[1] != gallery.shape[1]:
            raise DataError(
                f"queries have {queries.shape[1]} dimensions, the gallery {gallery.shape[1]}: they can't be compared"
            )
        device = torch.device(device) if device is not None else queries.device
        # float64 does not exist on Apple's GPUs
        self.device = torch.device("cpu") if device.type == "mps" else device
        self.queries, self.gallery, self.rescale, self.memory = queries, gallery, rescale, memory
        norms = _measure_norms(queries).to(self.device)
        self._reach = norms * _measure_norms(gallery).max().to(self.device)
        self.tolerance = TOLERANCE * self._reach
        # beyond these, float32 overflows or loses its relative precision
        self.exact = rescale is not None or not 1e-25 < float(self._reach.max()) < 1e37

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of queries and candidates, N and M."""
        return len(self.queries), len(self.gallery)

    def iterate(self) -> Iterator[ScoreBlock]:
        """Yield all blocks: by candidates in their order, then by queries; a block is valid until the next."""
        count, width = self.queries.shape
        height = min(count, MAX_ROWS)
        # a block, its float64 form and masks; the candidates in both types
        columns = max(1, self.memory // (height * (4 + 8 + 8 + 4) + width * (4 + 8)))
        dtype = torch.float64 if self.exact else torch.float32
        for candidates in _cut(len(self.gallery), columns):
            gallery = self.gallery[candidates].to(self.device, dtype)
            for rows in _cut(count, height):
                queries = self.queries[rows].to(self.device, dtype)
                scores = self._rescale(
                    queries @ gallery.T, self._number(rows)[:, None], self._number(candidates)
                )
                yield ScoreBlock(rows, candidates, scores, self._bound(rows))

    def score_rows(self, rows: torch.Tensor, columns: slice) -> torch.Tensor:
        """Return float64 scores of some queries (n numbers) with a block of candidates, n×c."""
        gallery = self.gallery[columns].to(self.device, torch.float64)
        queries = self.queries[rows.to(self.queries.device)].to(self.device, torch.float64)
        return self._rescale(queries @ gallery.T, rows[:, None], self._number(columns))

    def score_pairs(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Return float64 scores of n pairs of a query and a candidate, n."""
        return self._rescale(self.multiply_pairs(rows, columns), rows, columns)

    def multiply_pairs(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Return float64 inner products of n pairs of a query and a candidate, n."""
        size = max(1, self.memory // (self.queries.shape[1] * 8 * 4))
        products = torch.empty(len(rows), dtype=torch.float64, device=self.device)
        for part in _cut(len(rows), size):
            left = self.queries[rows[part].to(self.queries.device)].to(self.device, torch.float64)
            right = self.gallery[columns[part].to(self.gallery.device)].to(self.device, torch.float64)
            products[part] = torch.linalg.vecdot(left, right)
        return products

    def _rescale(self, scores: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return scores if self.rescale is None else self.rescale(scores, rows, columns)

    def _number(self, part: slice) -> torch.Tensor:
        return torch.arange(part.start, part.stop, device=self.device)

    def _bound(self, rows: slice) -> torch.Tensor:
        share = 0.0 if self.exact else 1.01 * (self.queries.shape[1] + 4) * _UNIT
        return share * self._reach[rows]


def _cut(total: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover `total`, of nearly equal length."""
    parts = max(1, -(-total // size))
    for n in range(parts):
        yield slice(total * n // parts, total * (n + 1) // parts)


def _measure_norms(embeddings: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean norms of the rows, float64."""
    return torch.cat([part.double().norm(dim=1) for part in embeddings.split(4096)])


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Multiply float32 in float32 inside: neither TF32 nor autocast, whose errors the bounds do not cover."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False), torch.no_grad():
            yield
    finally:
        torch.set_float32_matmul_precision(before)
