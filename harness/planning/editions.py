"""Editions of a suite: named, smaller selections of its cells and tables, such as `quick`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from harness.errors import SuiteError

MARK = "@"
"""Between a suite and its edition: `robustness@quick`."""

EDITION = r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}"


class Strict(BaseModel):
    """A part of a suite file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("limit", "seed", "seeds", "decimals", mode="before", check_fields=False)
    @classmethod
    def _whole(cls, value: Any) -> Any:
        """Refuse `true`, which Python takes for 1 and nobody means by it."""
        if any(isinstance(v, bool) for v in (value if isinstance(value, list) else [value])):
            raise ValueError("expected whole numbers")
        return value


class Narrowing(Strict):
    """What is kept of a grid: labels or patterns of its parts, and other values of its axes and seeds."""

    models: list[str] | None = None
    datasets: list[str] | None = None
    methods: list[str] | None = None
    metrics: list[str] | None = None
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    seeds: list[int] | None = None


class ExperimentNarrowing(Narrowing):
    """What an edition keeps of one experiment, where that differs from the edition's other ones."""

    name: str


class Edition(Narrowing):
    """A named selection of a suite. What it does not name stays as in the suite."""

    description: str = ""
    limit: int | None = Field(default=None, ge=1)
    experiments: list[str | ExperimentNarrowing] | None = None
    tables: list[str | dict[str, Any]] | None = None
    """Names of tables, or tables with a `name` and what differs from the suite's table of that name."""
    plots: list[str] | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    """Changed keys, as by `--set`; cells that this changes are others than the suite's."""

    def narrow(self, experiment: str) -> Narrowing | None:
        """Return what is kept of an experiment, its own narrowing before the edition's; None if it is left out."""
        if self.experiments is None:
            return self
        found = next(
            (e for e in self.experiments if experiment == (e if isinstance(e, str) else e.name)), None
        )
        if not isinstance(found, ExperimentNarrowing):
            return None if found is None else self
        own = {k: getattr(found, k) for k in Narrowing.model_fields if k in found.model_fields_set}
        return self.model_copy(update={**own, "axes": {**self.axes, **found.axes}})

    @field_validator("tables")
    @classmethod
    def _named(cls, tables: list[str | dict[str, Any]] | None) -> list[str | dict[str, Any]] | None:
        for table in tables or ():
            if isinstance(table, dict) and not isinstance(table.get("name"), str):
                raise ValueError("expected names of tables, or tables with a `name`")
        return tables

    @property
    def changed_tables(self) -> dict[str, dict[str, Any]]:
        """The tables that it names, each with what differs from the suite's."""
        return {
            t if isinstance(t, str) else t["name"]: {} if isinstance(t, str) else t for t in self.tables or ()
        }

    def give_way(self, overrides: Iterable[str], where: str) -> Edition:
        """Return the edition without what the command line sets (`seeds`, `limit`, `axes.…`).

        Raises SuiteError for a key of one experiment that the edition narrows.
        """
        edition = self
        for key in overrides:
            first, _, rest = key.partition(".")
            if first in ("seeds", "limit"):
                edition = edition._drop({first: None})
            elif first == "axes":
                kept = {n: v for n, v in self.axes.items() if rest and n != rest.partition(".")[0]}
                edition = edition._drop({"axes": kept})
            elif first == "experiments" and rest.partition(".")[2].partition(".")[0] in ("seeds", "axes"):
                raise SuiteError(
                    f"--set {key}: {where} narrows its experiments: set it for the whole suite, or in the edition"
                )
        return edition

    def _drop(self, update: dict[str, Any]) -> Edition:
        """Return the edition with these fields, in its experiments, too."""
        own = {k: v for k, v in update.items() if k in Narrowing.model_fields}
        experiments = [
            e
            if isinstance(e, str)
            else e.model_copy(update={k: v for k, v in own.items() if k in e.model_fields_set})
            for e in self.experiments or ()
        ]
        return self.model_copy(
            update={**update, "experiments": None if self.experiments is None else experiments}
        )

    @property
    def named_experiments(self) -> list[str]:
        """The experiments that it names."""
        return [e if isinstance(e, str) else e.name for e in self.experiments or ()]


def split_edition(text: str) -> tuple[str, str | None]:
    """Return the suite and the edition that `SUITE@EDITION` names; the edition is None without an `@`.

    >>> split_edition("robustness@quick")
    ('robustness', 'quick')
    """
    suite, mark, edition = text.rpartition(MARK)
    return (suite, edition) if mark and "/" not in edition else (text, None)
