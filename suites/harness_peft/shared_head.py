"""Tell whether a model's own head fits the classes of a data set."""

from __future__ import annotations

from typing import Any

from harness.inference.classes import Classes, align


def shares_head(model: Any, *data: Any) -> bool:
    """Return whether the model's own head has these data's label space, and no contradicting class names."""
    own, found = Classes.of(model), Classes.of(*data)
    return own.space is not None and own.space == found.space and align(own, found, True).refusal is None
