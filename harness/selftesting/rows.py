"""The result of a machine's check: facts of the device, and a table of what was compared and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import HarnessError, did_you_mean
from harness.leaderboard.formats.text import clean_text, escape_markdown

Verdict = Literal["ok", "FAIL", "not checked", "note"]
"""`note`: a figure to know, which can't be wrong."""

HEADERS = ("check", "device", "CPU", "tolerance", "verdict")

FORMATS = ("terminal", "markdown")


@dataclass(frozen=True)
class Row:
    """One comparison: what, both sides, how far apart they may be, and the verdict. `facts` are its numbers."""

    check: str
    device: str
    reference: str
    tolerance: str
    verdict: Verdict
    facts: Mapping[str, Any] = field(default_factory=dict)

    def cells(self) -> list[str]:
        """Return the row's texts in the order of `HEADERS`."""
        return [self.check, self.device, self.reference, self.tolerance, self.verdict]


@dataclass(frozen=True, repr=False)
class SelfTest:
    """What the check of a machine found."""

    facts: Mapping[str, Any]
    """The device, torch, the host, and how the check was made."""
    rows: Sequence[Row]
    reasons: Sequence[str] = ()
    """Why each tolerance is as wide as it is."""

    @property
    def holds(self) -> bool:
        """Whether something was compared and nothing failed."""
        return not self.failed and any(row.verdict == "ok" for row in self.rows)

    @property
    def failed(self) -> list[Row]:
        """The rows that failed."""
        return [row for row in self.rows if row.verdict == "FAIL"]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able data: what `harness selftest --json` prints."""
        rows = [
            {**dict(zip(HEADERS, row.cells(), strict=True)), "facts": dict(row.facts)} for row in self.rows
        ]
        return {"holds": self.holds, "facts": dict(self.facts), "rows": rows, "reasons": list(self.reasons)}

    def render(self, format: str = "terminal") -> str:
        """Return it as text for a terminal or in Markdown. Raises HarnessError for another format."""
        from tabulate import tabulate

        if format not in FORMATS:
            raise HarnessError(f"--format {format}: unknown{did_you_mean(format, FORMATS)}")
        marked = format == "markdown"
        written = escape_markdown if marked else clean_text
        clean: Callable[[str], str] = lambda text: written(text, None)  # noqa: E731 - nothing is cut
        body = [[clean(text) for text in row.cells()] for row in self.rows]
        table = tabulate(body, HEADERS, tablefmt="pipe" if marked else "simple", disable_numparse=True)
        said = [f"{name}: {value}" for name, value in self.facts.items()]
        counts = [
            f"{sum(r.verdict == v for r in self.rows)} {v}" for v in ("ok", "FAIL", "not checked", "note")
        ]
        last = ("holds: " if self.holds else "FAILS: ") + ", ".join(counts)
        if not marked:
            return "\n".join([*map(clean, said), "", table, "", *map(clean, self.reasons), "", last]) + "\n"
        listed = [f"- {clean(text)}" for text in said]
        why = [f"- {clean(text)}" for text in self.reasons]
        title = f"# harness selftest: {clean(str(self.facts.get('device', '')))}"
        return "\n".join([title, "", *listed, "", table, "", "## Tolerances", "", *why, "", last]) + "\n"

    def __repr__(self) -> str:
        return self.render()
