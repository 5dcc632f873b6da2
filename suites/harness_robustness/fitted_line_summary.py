"""The summary `fitted-line`: the standard models' line, the baseline of effective robustness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness_robustness.summaries import EffectiveRobustnessSummary, Scale

if TYPE_CHECKING:
    import pandas as pd


class FittedLine:
    """Slope, intercept and R² of each shift's line over the models tagged `standard`.

    Args:
        metric: the accuracy, a fraction, on reference and shift.
        scale: scale of the fit: `logit`, `probit` (both clip 0 and 1) or `linear`.
        minimum: minimum accuracy on the reference, a fraction, of the standard models in the fit.
        corruptions: whether corrupted data sets count as shifts, too.
        bends: for a shift's label, the accuracy on the reference at which the line bends.
    """

    titles: ClassVar = {"slope": "Slope", "intercept": "Intercept", "standard models": "Standard models"}
    takes_published = True
    unit = None
    higher_is_better = None

    def __init__(
        self,
        metric: str = "top1",
        scale: Scale = "logit",
        minimum: float = 0.0,
        corruptions: bool = False,
        bends: dict[str, float] | None = None,
    ) -> None:
        self.fit = EffectiveRobustnessSummary(metric, scale, minimum, corruptions=corruptions, bends=bends)

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows of `slope`, `intercept`, `R²` and `standard models`, by data set.

        They are NaN, with a note, if fewer than two standard models differ in accuracy.
        """
        import numpy as np
        import pandas as pd

        from harness_robustness.effective_robustness import fit_line

        rows: list[dict[str, Any]] = []
        for dataset, chosen, which in self.fit.iterate_lines(records):
            x, y = chosen["reference_value"].to_numpy(dtype=float), chosen["value"].to_numpy(dtype=float)
            facts = {"slope": np.nan, "intercept": np.nan, "R²": np.nan}
            note = f"no line: {len(x)} standard models with different reference accuracies, needs two"
            if len(np.unique(x)) >= 2:
                line, note = fit_line(x, y, self.fit.scale), ""
                facts = {"slope": line.slope, "intercept": line.intercept, "R²": line.r2}
            shared = {"model": "", "dataset": f"{dataset}{which}", "count": len(x)}
            rows += [{**shared, "metric": m, "value": v, "note": note} for m, v in facts.items()]
            rows.append({**shared, "metric": "standard models", "value": len(x), "unit": "count"})
        names = ["model", "dataset", "metric", "value", "count", "note", "unit"]
        return pd.DataFrame(rows, columns=names)
