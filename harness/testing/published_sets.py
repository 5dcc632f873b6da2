"""Checks of a set of published results: a file that can be read, numbers in their range, and a source."""

from __future__ import annotations

import re
from functools import cached_property

from harness.errors import HarnessError
from harness.published.finding import read_published_set
from harness.published.published_set import PublishedSet
from harness.testing.verdicts import Violation, expect


class PublishedSubject:
    """A set under test, by its name or its file."""

    def __init__(self, given: object) -> None:
        self.given = str(given)

    @cached_property
    def found(self) -> PublishedSet:
        """The set, read."""
        try:
            return read_published_set(self.given)
        except HarnessError as error:
            raise Violation("a valid file of published results", error, "No table can show it.") from None


def check_set_file(subject: PublishedSubject) -> None:
    """The file is valid, and says where its numbers are from: an address, and a commit or a date."""
    source = subject.found.source
    expect(
        bool(re.search(r"https?://|doi|arxiv|et al", source, re.IGNORECASE)),
        "a `source` that can be looked up",
        source,
        "Whoever doubts a number must find it where it is from.",
    )


def check_set_numbers(subject: PublishedSubject) -> None:
    """Every data set has a number, and those that are fractions lie in [0, 1]."""
    found = subject.found
    for (metric, dataset), values in found.numbers.items():
        known = [value for value in values if value == value]
        expect(bool(known), f"a number of '{dataset}'", "none", "Its column says nothing.")
        if metric in found.fractions:
            wrong = [value for value in known if not 0 <= value <= 1]
            expect(
                not wrong,
                f"fractions on '{dataset}', or percent with `# unit: percent`",
                f"{wrong[:1]}",
                "Tables would show them a hundred times too large.",
            )


def check_set_models(subject: PublishedSubject) -> None:
    """Every model has a number."""
    found = subject.found
    for place, model in enumerate(found.models):
        has = any(values[place] == values[place] for values in found.numbers.values())
        expect(has, f"a number of '{model}'", "none", "Its row says nothing.")
