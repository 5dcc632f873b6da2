"""What readers of numbers of rankings should know: which ones no model could miss, and where the data's order decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness_metrics.hubness import HubnessSkew
from harness_metrics.ranking_recall import RecallAtK, TrueRecallAtK

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from harness_metrics.rankings import Rankings

EQUAL = 1e-12
"""How much scores of order one may differ and be equal, as in a search."""


def note_certain_numbers(metrics: Mapping[str, Any], rankings: Rankings) -> list[str]:
    """Return a remark on those of a cell's metrics, by label, that are 1 for these queries and candidates whatever the model."""
    fewest = int(rankings.positives.min())
    wrong = rankings.gallery - fewest
    certain = [
        label
        for label, metric in metrics.items()
        if (isinstance(metric, RecallAtK) and metric.k > wrong)
        or (isinstance(metric, TrueRecallAtK) and metric.k >= rankings.gallery)
    ]
    if not wrong:
        return [
            f"all of the {rankings.gallery} candidates are right for every query: no number says anything of the model"
        ]
    if not certain:
        return []
    are = "is" if len(certain) == 1 else "are"
    return [f"{', '.join(certain)} {are} 1 whatever the model, since there are {rankings.gallery} candidates"]


def note_ties_at_depth(
    metrics: Mapping[str, Any], scores: torch.Tensor, alike: NDArray[np.int64], depth: int
) -> list[str]:
    """Return a remark on queries whose first `depth` candidates tie with the next one, if a metric counts these.

    `scores` N×k are those of the first candidates, by decreasing score, and `alike` N×k the first of the equals of each
    candidate: equal candidates share their counts, so that their order does not matter.
    """
    if scores.shape[1] <= depth or not any(isinstance(metric, HubnessSkew) for metric in metrics.values()):
        return []
    last, following = scores[:, depth - 1], scores[:, depth]
    tied = (last - following <= EQUAL * last.abs().clamp(min=1.0)).numpy()
    count = int((tied & (alike[:, depth - 1] != alike[:, depth])).sum())
    if not count:
        return []
    return [
        f"for {count} of {len(scores)} queries equal scores decide which candidates are among the first {depth}: to find "
        "hubs, those that come first in the data are counted"
    ]
