"""Leases in several places at once: those of a folder, and those of a bucket."""

from __future__ import annotations

from typing import Protocol

from harness.records.lease_holders import Holder


class TakesLeases(Protocol):
    """What leases in a folder and in a bucket have in common."""

    def take(self, id: str) -> Holder | None:
        """Return None if the lease is ours now, else who has it."""

    def give(self, id: str) -> None:
        """Let others have the lease, if it is ours."""

    def close(self) -> None:
        """Give all leases."""


class JointLeases:
    """A lease is ours if it is ours in every place; the first, where asking costs least, is asked first."""

    def __init__(self, *places: TakesLeases) -> None:
        self._places = places

    def take(self, id: str) -> Holder | None:
        """Return None if the lease is ours now, also if it was before, else who has it: ask again later."""
        for number, place in enumerate(self._places):
            holder = place.take(id)
            if holder is not None:
                for taken in reversed(self._places[:number]):
                    taken.give(id)
                return holder
        return None

    def give(self, id: str) -> None:
        """Let others have the lease, if it is still ours."""
        for place in reversed(self._places):
            place.give(id)

    def close(self) -> None:
        """Give all leases."""
        for place in reversed(self._places):
            place.close()
