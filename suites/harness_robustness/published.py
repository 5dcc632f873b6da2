"""Published accuracies with their sources, to check fits against and to draw baselines from."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from harness import DataError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd


def list_published_tables() -> list[str]:
    """Return the names of the published tables."""
    return sorted(p.name.removesuffix(".csv") for p in _folder().iterdir() if p.name.endswith(".csv"))


def load_published_table(name: str) -> pd.DataFrame:
    """Return a published table: one row per model (the index), accuracies as fractions, NaN for unpublished ones.

    Raises DataError for an unknown name.
    """
    import io

    import pandas as pd

    return pd.read_csv(io.StringIO(_read_text(name)), comment="#", index_col="model") / 100


def read_published_source(name: str) -> str:
    """Return the source of a table in a few sentences. Raises DataError for an unknown name."""
    lines = [line[1:].strip() for line in _read_text(name).splitlines() if line.startswith("#")]
    return " ".join(lines)


def _folder() -> Traversable:
    return files("harness_robustness") / "published"


def _read_text(name: str) -> str:
    if name not in list_published_tables():
        raise DataError(
            f"published accuracies: no table {name!r}{did_you_mean(name, list_published_tables())}"
        )
    return (_folder() / f"{name}.csv").read_text(encoding="utf-8")
