"""What a fine-tuning method is: one function that prepares the network, and options to say more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness_peft.network import Network


@runtime_checkable
class PeftMethod(Protocol):
    """Says what is trained. A class with `prepare` is a whole method; the rest is optional.

    `prepare(network)` gets a network of its own with every parameter frozen but the head's. It adds
    modules or thaws parameters in place; what requires a gradient afterwards is trained, nothing else.
    Random initial values come from torch's generator, which is seeded before the call.

    Optional functions:

    * `state(network) -> Mapping[str, Tensor]`: what is stored of a trained network instead of all
      trained parameters and changed buffers.
    * `merge(network)`: folds what was added into the base's weights, in place.
    * `finish(network, start)`: called after training; `start` maps names to the tensors (on the CPU)
      that the parameters had before it (WiSE-FT).
    * `solve(...)`: trains without gradients, on embeddings (see `Solves`).

    Optional attributes: `rates`, the learning rates that tuning tries instead of the protocol's;
    `weight_decay`, instead of the protocol's; `keeps_start`, true when `finish` is given;
    `needs_old_head` and `needs_clip`, checked before anything is trained.
    """

    def prepare(self, network: Network) -> None: ...


@runtime_checkable
class Solves(Protocol):
    """A method that is fitted on embeddings of the frozen network, without gradient steps."""

    def candidates(self, trials: int) -> list[float]: ...

    def solve(
        self, features: NDArray[Any], targets: NDArray[Any], classes: int, candidate: float
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...


State = Mapping[str, "torch.Tensor"]
