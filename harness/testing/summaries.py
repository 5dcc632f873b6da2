"""The check of a summary that a plot does not have: the order of records does not matter."""

from __future__ import annotations

from typing import Any

from harness.errors import HarnessError
from harness.testing.displays import DisplaySubject
from harness.testing.verdicts import expect


def check_order_of_records(subject: DisplaySubject) -> None:
    """The same records in another order have the same numbers."""
    frames, store = subject.frames()
    for what, frame in frames.items():
        try:
            one = subject.show(frame, store)
            other = subject.show(frame.iloc[::-1].reset_index(drop=True), store)
        except HarnessError:
            continue
        expected, why = (
            f"the same numbers for {what} in another order",
            "Records come as cells were planned.",
        )
        expect(_sort_rows(one) == _sort_rows(other), expected, "others", why)


def _sort_rows(made: Any) -> list[str]:
    return sorted(
        f"{model} {metric} {'none' if value is None else format(float(value), '.9g')}"
        for model, metric, value in zip(made["model"], made["metric"], made["value"])
    )
