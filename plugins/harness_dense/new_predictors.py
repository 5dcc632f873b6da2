"""New predictors for other classes, the rest of a network as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def find_predictors(build: Callable[[int], nn.Module]) -> set[str]:
    """Return the names of the tensors whose shape depends on the number of classes."""
    import torch

    with torch.device("meta"):
        few, many = (build(count).state_dict() for count in (3, 5))
    return {name for name, tensor in few.items() if name not in many or many[name].shape != tensor.shape}


def copy_shared(old: nn.Module, new: nn.Module, build: Callable[[int], nn.Module]) -> list[str]:
    """Copy all tensors but those of the predictors from one network to another; return the predictors' names.

    `build(count)` returns a network for that many classes. Predictors keep their new weights even for equally many
    classes: others are meant.
    """
    predictors = find_predictors(build)
    state = {name: tensor for name, tensor in old.state_dict().items() if name not in predictors}
    new.load_state_dict(state, strict=False)
    return sorted(predictors)
