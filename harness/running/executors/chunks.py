"""Cells in chunks: what a worker gets at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from harness.contract.cells import Cell
from harness.planning.grouping import seed_groups


def make_chunks(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """Return runs of cells that share a model, of about `size`; seeds that run at once stay together."""
    chunks: list[list[Cell]] = []
    for _, same in groupby(cells, key=_name_model):
        chunk: list[Cell] = []
        for group in seed_groups(list(same)):
            if chunk and len(chunk) + len(group) > size:
                chunks.append(chunk)
                chunk = []
            chunk = chunk + group
        chunks.append(chunk)
    return chunks


def spread_chunks(chunks: Sequence[list[Cell]]) -> list[list[Cell]]:
    """Return the chunks with the first of each model in front, and the rest from the last model to the first.

    A model may be made on its first use: while one worker makes the first model, the others work with
    other models, and come to its remaining cells last.
    """
    by_model: dict[str, list[list[Cell]]] = {}
    for chunk in chunks:
        by_model.setdefault(_name_model(chunk[0]), []).append(chunk)
    first = [same[0] for same in by_model.values()]
    return first + [chunk for same in reversed(by_model.values()) for chunk in same[1:]]


def _name_model(cell: Cell) -> str:
    return cell.model.identity if cell.model else ""
