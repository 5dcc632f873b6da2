"""Which split of a data set is tested on, and which one may validate: never the same."""

from __future__ import annotations

from collections.abc import Sequence

VALIDATION = ("val", "validation")


def tested(splits: Sequence[str]) -> str:
    """`test` where there is one, else `val` or `validation`, else the first split."""
    return next((s for s in ("test", *VALIDATION) if s in splits), splits[0])


def validating(splits: Sequence[str], test: str) -> str | None:
    """`val` or `validation`, unless that is what is tested on; None where there is none."""
    return next((s for s in VALIDATION if s in splits and s != test), None)
