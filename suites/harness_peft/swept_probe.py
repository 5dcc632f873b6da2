"""Linear probe on cached embeddings: multinomial logistic regression by L-BFGS, λ swept on validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness import OptionError
from harness_peft.contract import LearnsFromDraws

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_peft.adapted_network import AdaptedNetwork


class SweptProbe(LearnsFromDraws):
    """Logistic regression with penalty λ‖W‖²/2 (mean loss, biases free), fitted by L-BFGS.

    Args:
        sweep: `grid` tries as many λ as every other method has trials, evenly in the logarithm; `clip` is
            the search of Radford et al. 2021, appendix A.3: λ from 1e-6 to 1e6, halving the step around the
            best until there are eight steps per decade.
        iterations: the most iterations of L-BFGS in each fit.
        features: `projected` embeddings, or `penultimate`, an image tower's output before its projection,
            if the projection is a separate matrix (open_clip's VisionTransformer; otherwise no effect).
    """

    def __init__(
        self,
        sweep: Literal["grid", "clip"] = "grid",
        iterations: int = 1000,
        features: Literal["projected", "penultimate"] = "projected",
    ) -> None:
        if iterations < 1:
            raise OptionError(f"linear-probe: iterations must be at least 1, not {iterations}")
        self.sweep, self.iterations, self.features = sweep, iterations, features

    def prepare(self, network: AdaptedNetwork) -> None:
        """Remove the projection if requested; only the head is fitted."""
        if self.features == "penultimate" and getattr(network.backbone, "proj", None) is not None:
            network.backbone.proj = None

    def candidates(self, trials: int) -> list[float]:
        """Return the values of λ to try."""
        if self.sweep == "clip":
            return [10.0**k for k in range(-6, 7, 2)]
        return [float(v) for v in np.logspace(-5, -1, trials)] if trials > 1 else [1e-3]

    def refine(self, score: Callable[[float], float]) -> dict[float, float]:
        """Return the validation score of every λ that the sweep `clip` visits."""
        scores = {v: score(v) for v in self.candidates(0)}
        step = 1.0
        while step >= 0.125:  # in decades
            best = np.log10(max(scores, key=lambda v: scores[v]))
            for exponent in (best - step, best + step):
                value = float(10.0**exponent)
                if -6 <= exponent <= 6 and not any(np.isclose(value, s, rtol=1e-9) for s in scores):
                    scores[value] = score(value)
            step /= 2
        return scores

    def solve(
        self, features: NDArray[Any], targets: NDArray[Any], classes: int, candidate: float
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return weights C×D and biases C for embeddings N×D; classes without samples are never predicted.

        `candidate` is λ; scikit-learn's C is 1/(λN). Targets N×C, of samples with several labels, lead to
        one binary regression per class, on the samples that count for it (1 and 0).
        """
        if targets.ndim == 2:
            rows = [
                self.solve(features[column >= 0], column[column >= 0], 2, candidate) for column in targets.T
            ]
            return np.stack([w[1] - w[0] for w, _ in rows]), np.array([b[1] - b[0] for _, b in rows])
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        present = np.unique(targets)
        weight = np.zeros((classes, features.shape[1]), dtype=np.float64)
        bias = np.full(classes, -1e4)
        if len(present) == 1:
            bias[present] = 0.0
            return weight, bias
        model = LogisticRegression(C=1 / (candidate * len(targets)), max_iter=self.iterations, tol=1e-6)
        # On centred embeddings L-BFGS takes a fraction of the steps to the same optimum: the bias, which
        # is not penalised, absorbs the shift.
        mean = features.mean(axis=0, dtype=np.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties need not converge
            # one sample per class is intended, not a mistaken regression
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            model.fit(features - mean, targets)
        intercept = model.intercept_ - model.coef_ @ mean
        if len(present) == 2:  # scikit-learn keeps one row for two classes
            weight[present[1]], bias[present] = model.coef_[0], (0.0, intercept[0])
        else:
            weight[present], bias[present] = model.coef_, intercept
        return weight, bias
