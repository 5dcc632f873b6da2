"""Objects shared by the cells of one worker, built once and released with their owner."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Literal, TypeVar

Owner = Literal["worker", "dataset", "model"]

T = TypeVar("T")


class Shared:
    """Objects by key, each owned by the worker, or by the current cell's data set or model."""

    def __init__(self) -> None:
        self._kept: dict[Owner, dict[Hashable, Any]] = {"worker": {}, "dataset": {}, "model": {}}
        self._owners: dict[Owner, object] = {}

    def belong(self, of: Owner, owner: object) -> None:
        """Set the current owner; objects of another data set or model are released."""
        if self._owners.get(of) != owner:
            self._kept[of].clear()
        self._owners[of] = owner

    def get(self, of: Owner, key: Hashable, make: Callable[[], T]) -> T:
        """Return the object of a key, after making it if there is none."""
        kept = self._kept[of]
        if key not in kept:
            kept[key] = make()
        found: T = kept[key]
        return found
