"""What the cells of one worker share, built once and let go with what it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Literal, TypeVar

Owner = Literal["worker", "dataset", "model"]

T = TypeVar("T")


class Shared:
    """Objects by key, each belonging to the worker, or to the data set or model of the cell in work."""

    def __init__(self) -> None:
        self._kept: dict[Owner, dict[Hashable, Any]] = {"worker": {}, "dataset": {}, "model": {}}
        self._owners: dict[Owner, object] = {}

    def belong(self, of: Owner, owner: object) -> None:
        """Say whose turn it is; what belonged to another data set or model is let go."""
        if self._owners.get(of) != owner:
            self._kept[of].clear()
        self._owners[of] = owner

    def get(self, of: Owner, key: Hashable, make: Callable[[], T]) -> T:
        """Return the object of that key, made when there is none."""
        kept = self._kept[of]
        if key not in kept:
            kept[key] = make()
        found: T = kept[key]
        return found
