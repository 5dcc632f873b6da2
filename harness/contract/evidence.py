"""Evidence of a classifier, and the contract of the metrics that read evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier said about N samples: the evidence that classification metrics read.

    `logits` N×C (natural scale: softmax gives the probabilities), `targets` N, `ids` N.
    """

    logits: NDArray[np.floating[Any]]
    targets: NDArray[np.int64]
    ids: Sequence[str]
    class_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        # a metric that changed an array would change the numbers of the metrics after it, and the kept evidence
        for name in ("logits", "targets"):
            object.__setattr__(self, name, _as_read_only(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.targets)

    def _compute_once(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        if name not in self.__dict__:
            object.__setattr__(self, name, _as_read_only(make()))
        kept: NDArray[Any] = self.__dict__[name]
        return kept

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits in float64, N×C."""

        def make() -> NDArray[Any]:
            import numpy as np

            shifted = self.logits.astype(np.float64)
            shifted = shifted - shifted.max(axis=1, keepdims=True)
            e = np.exp(shifted)
            return np.asarray(e / e.sum(axis=1, keepdims=True))

        return self._compute_once("_probabilities", make)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the largest logit (the first of equal ones), N."""
        return self._compute_once("_predicted", lambda: self.logits.argmax(axis=1))

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the predicted class, N."""
        return self._compute_once("_confidence", lambda: self.probabilities.max(axis=1))

    def pack(self) -> dict[str, Any]:
        """Return arrays and lists from which `unpack` makes the same predictions, to the last bit."""
        import numpy as np

        # the order of axes in memory decides the last bits of sums
        arrays = {name: np.array(getattr(self, name), order="K") for name in ("logits", "targets")}
        return {**arrays, "ids": list(self.ids), "class_names": list(self.class_names)}

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> Predictions:
        """Return the predictions that `pack` took apart."""
        return cls(**parts)

    @staticmethod
    def concat(parts: Sequence[Predictions]) -> Predictions:
        """Return the predictions of several disjoint parts as one, of the first one's class."""
        import numpy as np

        logits, targets = (np.concatenate([getattr(p, k) for p in parts]) for k in ("logits", "targets"))
        return replace(parts[0], logits=logits, targets=targets, ids=[i for p in parts for i in p.ids])


def _as_read_only(given: Any) -> Any:
    """Return a view of an array that can't be written to; anything else as it is."""
    import numpy as np

    if not isinstance(given, np.ndarray):
        return given
    view = given.view()
    view.flags.writeable = False
    return view


@runtime_checkable
class Metric(Protocol):
    """A number (or several, by name) from evidence of the class that its argument is annotated with.

    The annotation must be resolvable where the metric's module is imported (any class of a union will do,
    subclasses match); a class imported for type checkers only is named in `reads = (Evidence,)`.
    `higher_is_better` is its direction and `bounds` its range; `unit` is `"fraction"` if tables may show
    percent. A proportion of samples also names in `per_sample` a method that returns one value per sample,
    for paired tests and bootstrap intervals. Without such values, `proportion = True` says that the number is
    a share of the samples that the result counts (a metric of several numbers lists the keys of the shares),
    so that it gets Wilson's interval.
    """

    higher_is_better: bool

    def __call__(self, evidence: Any) -> float | Mapping[str, float]: ...
