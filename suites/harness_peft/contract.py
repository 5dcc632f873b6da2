"""What a fine-tuning method is: one function that prepares the network, and options to say more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness_few_shot.task import FewShotTask
    from harness_peft.network import Network


@runtime_checkable
class PeftMethod(Protocol):
    """Says what is trained. A class with `prepare` is a whole method; the rest is optional.

    `prepare(network)` gets a network of its own with every parameter frozen but the head's. It adds
    modules or thaws parameters in place; what requires a gradient afterwards is trained, nothing else.
    Random initial values come from torch's generator, which is seeded before the call.

    Optional functions:

    * `state(network) -> Mapping[str, Tensor]`: what is stored of a trained network instead of all
      trained parameters (and buffers, when everything trains), under their names in the network.
      Modules with buffers that training moves need it.
    * `merge(network)`: folds what was added into the base's weights, in place.
    * `finish(network, start)`: called after training; `start` maps names to the tensors (on the CPU)
      that the parameters had before it (WiSE-FT).

    Optional attributes: `rates`, the learning rates that tuning tries instead of the protocol's;
    `weight_decay`, instead of the protocol's; `keeps_start`, true when `finish` is given;
    `needs_old_head` and `needs_clip`, checked before anything is trained.

    Methods that need no gradient through the network have another function in the place of training:
    `solve` (see `Solves`) or `fit` (see `Fits`).
    """

    def prepare(self, network: Network) -> None: ...


@runtime_checkable
class Solves(Protocol):
    """A method that finds a linear head on embeddings of the frozen network.

    `solve` gets embeddings N×D, labels N (or N×C of 1, 0 and −1, not counted, where samples have
    several) and one of the `candidates`; it gives weights C×D and biases C.
    """

    def candidates(self, trials: int) -> list[float]: ...

    def solve(
        self, features: NDArray[Any], targets: NDArray[Any], classes: int, candidate: float
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...


@runtime_checkable
class Head(Protocol):
    """What `fit` gives: `head` makes a module from normalised embeddings N×D to logits N×C."""

    def head(self) -> torch.nn.Module: ...


@runtime_checkable
class Fits(Protocol):
    """A method that fits itself on embeddings of a frozen image-text model, as the prompts suite has them.

    The same class serves there and here. With `rates` and an attribute `rate`, tuning tries learning
    rates on it as on any other; whatever else it chooses, it chooses on the task's validation samples.
    `rebuild` makes the head again from the tensors of its `state_dict`. The head's parameters
    that require a gradient count as trained; its buffers are stored with them.
    """

    def fit(self, task: FewShotTask) -> Head: ...

    def rebuild(self, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module: ...
