"""The contract of a fine-tuning method: a function that prepares the network, and optional members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness_few_shot.task import FewShotTask
    from harness_peft.adapted_network import AdaptedNetwork


@runtime_checkable
class PeftMethod(Protocol):
    """A method that chooses what is trained. Only `prepare` is required.

    `prepare(network)` gets a private network with every parameter frozen except the head's. It adds
    modules or unfreezes parameters in place; exactly what requires a gradient afterwards is trained.
    Random initial values come from torch's generator, which is seeded before the call.

    Optional functions:

    * `state(network) -> Mapping[str, Tensor]`: the tensors to store, by their names in the network,
      instead of all trained parameters (and buffers, if everything trains). Needed for modules
      whose buffers change in training.
    * `merge(network)`: fold the added modules into the base's weights, in place.
    * `finish(network, start)`: called after training; `start` maps names to the tensors (on the CPU)
      from before it (WiSE-FT).

    Optional attributes: `rates`, the learning rates to tune over instead of the protocol's;
    `weight_decay`, instead of the protocol's; `keeps_start`, true if `finish` is given;
    `needs_old_head` and `needs_clip`, checked before training.

    Methods that need no gradient through the network replace training by `solve` (see `Solves`) or
    `fit` (see `Fits`).
    """

    def prepare(self, network: AdaptedNetwork) -> None: ...


class LearnsFromDraws:
    """Base of methods whose results depend on the project's trainings and draws of samples."""

    def fingerprint(self) -> str:
        """Return the version of trainings and draws, which decides results besides the options."""
        return "learning-1"


@runtime_checkable
class Solves(Protocol):
    """A method that solves for a linear head on embeddings of the frozen network.

    `solve` takes embeddings N×D, labels N (or N×C of 1, 0 and −1 = not counted, if samples have
    several labels) and one of the `candidates`; it returns weights C×D and biases C.
    """

    def candidates(self, trials: int) -> list[float]: ...

    def solve(
        self, features: NDArray[Any], targets: NDArray[Any], classes: int, candidate: float
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...


@runtime_checkable
class FittedClassifier(Protocol):
    """The result of `fit`: `head` returns a module from normalised embeddings N×D to logits N×C."""

    def head(self) -> torch.nn.Module: ...


@runtime_checkable
class Fits(Protocol):
    """A method that fits itself on embeddings of a frozen image-text model, as in the prompts suite.

    The same class serves both suites. With `rates` and an attribute `rate`, its learning rate is tuned
    like any other method's; it chooses all other settings on the task's validation samples.
    `rebuild` restores the head from the tensors of its `state_dict`. The head's parameters that
    require a gradient count as trained; its buffers are stored with them.
    """

    def fit(self, task: FewShotTask) -> FittedClassifier: ...

    def rebuild(self, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module: ...
