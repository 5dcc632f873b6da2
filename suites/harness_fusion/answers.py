"""Read methods' predictions of the same samples from the store, for paired comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness import HarnessError, OptionError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from harness import Store

KIND = "tag.method.kind"
"""The tag that marks unimodal methods in a suite."""


class MethodAnswers:
    """One method's predictions over seeds: `predicted` and `right` S×N, `targets` N, `groups` of N.

    Raises HarnessError if the seeds have different samples.
    """

    def __init__(self, frames: Sequence[Any], seeds: Sequence[Any]) -> None:
        import numpy as np

        first = frames[0]
        self.ids = [str(i) for i in first["id"]]
        if any([str(i) for i in frame["id"]] != self.ids for frame in frames[1:]):
            raise HarnessError("seeds of one method have different samples, so they can't be combined")
        self.seeds = list(seeds)
        self.targets: NDArray[np.int64] = first["target"].to_numpy()
        self.predicted: NDArray[np.int64] = np.stack([f["prediction"].to_numpy() for f in frames])
        self.right: NDArray[np.float64] = (self.predicted == self.targets).astype(np.float64)
        self.groups = {c.removeprefix("in "): first[c].to_numpy(bool) for c in first if c.startswith("in ")}

    @property
    def f1(self) -> float:
        """Mean weighted F1 over seeds, computed from counts as in `compare_f1`."""
        from harness_fusion.gains import count_confusions, weighted_f1

        return float(weighted_f1(count_confusions(self.targets, self.predicted)).mean())


def read_answers(part: pd.DataFrame, store: Store) -> dict[str, MethodAnswers]:
    """Return each method's predictions; methods without samples on disk are left out."""
    found: dict[str, MethodAnswers] = {}
    for method, own in part.groupby("method", sort=False):
        frames = [store.samples(id) for id in own["id"]]
        complete = all(f is not None and {"target", "prediction"} <= set(f.columns) for f in frames)
        if complete:
            found[str(method)] = MethodAnswers(frames, own["seed"].tolist())
    return found


def find_unimodal_methods(
    part: pd.DataFrame, given: Sequence[str] | None, answers: dict[str, MethodAnswers]
) -> list[str]:
    """Return the unimodal methods among the answers: those `given`, else those with the tag `kind`.

    Raises OptionError if neither is there.
    """
    if given is not None:
        return [name for name in given if name in answers]
    if KIND not in part:
        raise OptionError('name the unimodal methods, or give them the tag kind = "unimodal"')
    tagged = dict.fromkeys(part.loc[part[KIND] == "unimodal", "method"])
    return [str(name) for name in tagged if str(name) in answers]
