"""How far numbers of a device may be from the CPU's, by kind, with the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """Limits of the numbers of one kind of cell.

    `tipped` is the share of samples whose prediction may differ (at least one sample), `relative` the limit of
    any other number, relative to the larger one, and `confidence` that of a probability.
    """

    tipped: float
    relative: float
    confidence: float

    def samples(self, count: int | None) -> int:
        """Return how many of so many samples may tip over."""
        return max(1, math.ceil(self.tipped * count)) if count else 1


@dataclass(frozen=True)
class Limits:
    """The tolerances of a device, by kind of cell.

    `loss` is that of a training's first losses, relative to the largest of the curve, since losses of two
    players are near 0 at first; `outputs` that of a network's outputs: the norm of the differences by theirs.
    """

    frozen: Tolerance
    fitted: Tolerance
    loss: float
    outputs: float

    def reasons(self) -> tuple[str, ...]:
        """Return why each tolerance is as wide as it is."""
        frozen, fitted = self.frozen, self.fitted
        return (
            "exact: how cells end, ids, labels and order of samples, counts, names of metrics: none hangs on rounding.",
            f"frozen (no method, no training): a prediction tips over only where two classes tie: {frozen.tipped:.1%} "
            f"of the samples, at least one. Shares within classes or bins rest on fewer samples: {GROUPED} times that. "
            f"Other numbers are sums in another order: {frozen.relative:.0e} relative.",
            f"fitted (a method without a loss curve, such as a search or L-BFGS): a choice between nearly equal "
            f"candidates may tip over and take samples with it: {fitted.tipped:.0%}; other numbers {fitted.relative:.0e}.",
            f"trained: rounding grows from step to step, so ends differ by chaos and are not compared. The first "
            f"{FIRST_LOSSES} losses of each curve are, within {self.loss:.0e} of its largest: wrong gradients, draws or "
            "data show there at once. (On a CPU, rounding noise of 1e-6 at every layer moves them by up to 4e-3.) "
            "Dropout draws from the CPU's generator on both sides.",
            f"outputs in float32, without TF32: up to a hundred layers at 1e-7 each, and sums in another order: "
            f"{self.outputs:.0e}.",
            f"outputs in bfloat16, against float32 on the same device: eight bits, 4e-3 at each layer: "
            f"{OUTPUTS_BFLOAT16:.0e}. Predictions count where the two best logits are further apart than that rounding.",
        )


GROUPED = 5
"""Shares within classes or bins rest on a part of the samples: one that tips over counts so many times."""

FIRST_LOSSES = 5
"""The first values of a training's curve, which are compared; later ones differ by chaos, however exact a device is."""

OUTPUTS = 1e-4
OUTPUTS_BFLOAT16 = 5e-2
"""Relative error of all outputs of a network."""

AGREEMENT = 0.995
AGREEMENT_BFLOAT16 = 0.98
"""Share of samples with the same prediction; in bfloat16 of those that its rounding leaves decided."""

BFLOAT16_ROUNDING = 2.0**-8
"""Relative rounding of one number in bfloat16, which has eight significant bits."""

THROUGHPUT = 0.9
"""The share of a bare loop's speed that the harness must reach."""

FLOAT32 = Limits(
    frozen=Tolerance(tipped=0.005, relative=1e-3, confidence=1e-3),
    fitted=Tolerance(tipped=0.02, relative=5e-2, confidence=5e-2),
    loss=1e-2,
    outputs=OUTPUTS,
)
