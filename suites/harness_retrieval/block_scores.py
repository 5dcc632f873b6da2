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
_ROWS, _COLUMNS = 256, 4096
"""Sizes of a block that stays in a processor's cache."""
_SEGMENT = 64
_UNIT = 2.0**-24
"""Rounding of float32, relative."""


def check_embeddings(embeddings: torch.Tensor, what: str, ids: Sequence[str] | None = None) -> torch.Tensor:
    """Return the Euclidean norms of embeddings N×D, N float64, from float32 where that does not overflow.

    Raises DataError unless they are N×D, N and D ≥ 1, and finite; it names the row, or its id.
    """
    if embeddings.ndim != 2 or not embeddings.numel() or not embeddings.is_floating_point():
        raise DataError(
            f"{what}: embeddings must be floats N×D, found {embeddings.dtype} {tuple(embeddings.shape)}"
        )
    norms = torch.cat([torch.linalg.vector_norm(part.float(), dim=1) for part in embeddings.split(_COLUMNS)])
    odd = ~((norms > 1e-15) & (norms < 1e15))  # zero, NaN, or squares out of float32's range
    norms = norms.double()
    norms[odd] = torch.linalg.vector_norm(embeddings[odd].double(), dim=1)
    rows = (~torch.isfinite(norms)).nonzero()[:, 0]
    if len(rows):
        first = int(rows[0])
        name = f"of '{ids[first]}'" if ids is not None else f"in row {first}"
        more = f" ({len(rows)} such rows)" if len(rows) > 1 else ""
        raise DataError(f"{what}: the embedding {name} has NaN or infinite values{more}: nothing ranks them")
    return norms


@dataclass(frozen=True, eq=False)
class ScoreBlock:
    """Scores b×c of queries `rows` and candidates `columns`; each is within `error` (b) of the float64 score.

    `queries` b×D and `gallery` c×D are their embeddings on the device.
    """

    rows: slice
    columns: slice
    scores: torch.Tensor
    error: torch.Tensor
    queries: torch.Tensor
    gallery: torch.Tensor


class BlockScores:
    """All scores of queries N×D and a gallery M×D in blocks, within `memory` bytes beyond the two.

    Without `rescale` blocks are float32, with the bound (D + 4)·2⁻²⁴·‖q‖·max‖g‖ of their error, which holds for any
    order of summation (Higham 2002, section 3.1) inside `full_precision`. With it, or where float32 overflows, blocks
    are float64, and `exact` is true. Blocks have at most `height` queries. `tolerance`: N float64, by how much scores
    of a query may differ and be equal.

    Raises DataError if the shapes do not fit, or for NaN and infinite values.
    """

    def __init__(
        self,
        queries: torch.Tensor,
        gallery: torch.Tensor,
        rescale: Rescale | None = None,
        memory: int = MEMORY,
        device: torch.device | str | None = None,
        height: int = _ROWS,
    ) -> None:
        self._height = height
        device = torch.device(device) if device is not None else queries.device
        # float64 does not exist on Apple's GPUs
        self.device = torch.device("cpu") if device.type == "mps" else device
        norms, others = check_embeddings(queries, "queries"), check_embeddings(gallery, "gallery")
        if queries.shape[1] != gallery.shape[1]:
            raise DataError(
                f"queries have {queries.shape[1]} dimensions, the gallery {gallery.shape[1]}: they can't be compared"
            )
        self.queries, self.gallery, self.rescale, self.memory = queries, gallery, rescale, memory
        self._reach = norms.to(self.device) * float(others.max())
        largest = float(self._reach.max())
        self.exact = rescale is not None or not 1e-25 < largest < 1e30
        self.tolerance = TOLERANCE * (self._reach if rescale is None else self._reach.clamp(min=1.0))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of queries and candidates, N and M."""
        return len(self.queries), len(self.gallery)

    @property
    def block_shape(self) -> tuple[int, int]:
        """The most queries and candidates of a block. The results of a search do not depend on it."""
        height = min(len(self.queries), self._height)
        # scores and what marks some of them, in float64 at worst; the candidates' embeddings in both types
        width = self.memory // (height * (4 + 4 * 8) + self.queries.shape[1] * (4 + 8))
        if self.device.type == "cpu":
            width = min(width, _COLUMNS)
        return height, max(1, width - width % _SEGMENT if width > _SEGMENT else width)

    def iterate(self) -> Iterator[ScoreBlock]:
        """Yield all blocks: by candidates in their order, then by queries."""
        height, width = self.block_shape
        dtype = torch.float64 if self.exact else torch.float32
        for columns in _slice_range(len(self.gallery), width):
            gallery = self.gallery[columns].to(self.device)
            turned = gallery.to(dtype).T
            for rows in _slice_range(len(self.queries), height):
                queries = self.queries[rows].to(self.device)
                products = queries.to(dtype) @ turned
                scores = self._rescale(products, self._number(rows)[:, None], self._number(columns))
                yield ScoreBlock(rows, columns, scores, self.bound_error(rows), queries, gallery)

    def bound_error(self, rows: slice) -> torch.Tensor:
        """Return by how much block scores of these queries may differ from the float64 ones, b float64."""
        share = 0.0 if self.exact else 1.01 * (self.queries.shape[1] + 4) * _UNIT
        return share * self._reach[rows]

    def take(self, rows: torch.Tensor) -> BlockScores:
        """Return the inner products of some queries, n numbers."""
        return BlockScores(self.queries[rows], self.gallery, None, self.memory, self.device)

    def score_rows(self, block: ScoreBlock, rows: torch.Tensor) -> torch.Tensor:
        """Return float64 scores of some queries of a block (n numbers within it) with its candidates, n×c."""
        if self.exact:
            return block.scores[rows]
        return block.queries[rows].double() @ block.gallery.double().T

    def score_pairs(self, block: ScoreBlock, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Return float64 scores of n pairs of a block (their numbers within it), n."""
        if self.exact:
            return block.scores[rows, columns]
        return self._multiply(block.queries, rows, block.gallery, columns)

    def multiply_pairs(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Return float64 inner products of n pairs of a query and a candidate, n."""
        return self._multiply(self.queries, rows, self.gallery, columns)

    def _multiply(
        self, left: torch.Tensor, rows: torch.Tensor, right: torch.Tensor, columns: torch.Tensor
    ) -> torch.Tensor:
        size = max(1, min(self.memory // (left.shape[1] * 4 * 8), _COLUMNS))
        products = torch.empty(len(rows), dtype=torch.float64, device=self.device)
        for part in _slice_range(len(rows), size):
            one = left[rows[part].to(left.device)].to(self.device).double()
            other = right[columns[part].to(right.device)].to(self.device).double()
            products[part] = torch.linalg.vecdot(one, other)
        return products

    def _rescale(self, scores: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return scores if self.rescale is None else self.rescale(scores, rows, columns)

    def _number(self, part: slice) -> torch.Tensor:
        return torch.arange(part.start, part.stop, device=self.device)


def find_at_least(values: torch.Tensor, least: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows and columns of those values b×c that reach their row's limit (b), by rows; few are found fast."""
    if values.shape[1] % _SEGMENT:
        rows, columns = (values >= least[:, None]).nonzero(as_tuple=True)
        return rows, columns
    segments = values.unflatten(1, (-1, _SEGMENT))
    rows, segment = (segments.amax(2) >= least[:, None]).nonzero(as_tuple=True)
    found, lane = (segments[rows, segment] >= least[rows, None]).nonzero(as_tuple=True)
    return rows[found], segment[found] * _SEGMENT + lane


def round_outwards(
    low: torch.Tensor, high: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return lower and upper limits in another type of float, none of which moved inwards."""
    if low.dtype == dtype:
        return low, high
    infinity = low.new_tensor(torch.inf, dtype=dtype)
    return torch.nextafter(low.to(dtype), -infinity), torch.nextafter(high.to(dtype), infinity)


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


def _slice_range(total: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover `total`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
