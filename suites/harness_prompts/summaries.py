"""Summaries of prompt records: base/new/H, sensitivity to wording, nearest words, found prompts.

Each takes the table of ok records and returns a long table with `model`, `metric`, `value` and more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness import OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from harness import Store

AVERAGE = "average"


class BaseToNew:
    """Base and new accuracy and their harmonic mean, per data set and averaged.

    Per data set, H is the harmonic mean of the means over seeds. The row `average` has the means over
    the data sets and both averages of H: `H` is the harmonic mean of the averages (as in published
    tables), `mean of H` the mean of the data sets' H.

    Args:
        metric: the averaged metric; records hold it as `METRIC.base` and `METRIC.new`.
    """

    unit = "fraction"
    higher_is_better = True

    def __init__(self, metric: str = "top1") -> None:
        self.metric = metric

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return the metrics `base`, `new`, `H` and `mean of H`, by model, method and data set."""
        import numpy as np
        import pandas as pd

        from harness_prompts.shots import harmonic_mean

        halves = {half: f"{self.metric}.{half}" for half in ("base", "new")}
        if missing := [c for c in halves.values() if c not in records]:
            raise OptionError(
                f"base-to-new: the records have no '{missing[0]}'{did_you_mean(missing[0], map(str, records))}"
            )
        rows: list[dict[str, Any]] = []
        datasets = list(dict.fromkeys(records["dataset"]))
        cells = records.groupby(["model", "method", "dataset"], sort=False)
        means = zip(cells[list(halves.values())].mean().itertuples(), cells.size(), strict=True)
        by_method: dict[tuple[Any, Any], list[tuple[Any, float, float, int]]] = {}
        for ((model, method, dataset), base, new), count in means:
            by_method.setdefault((model, method), []).append((dataset, base, new, int(count)))
        for (model, method), found in by_method.items():
            shared = {"model": model, "method": method, "low": np.nan, "high": np.nan, "note": ""}
            each = []
            for dataset, base, new, count in found:
                each.append((base, new, harmonic_mean(base, new)))
                for metric, value in zip(
                    ("base", "new", "H", "mean of H"), (*each[-1], each[-1][2]), strict=True
                ):
                    rows.append(
                        {**shared, "dataset": dataset, "metric": metric, "value": value, "count": count}
                    )
            base, new, mean_h = np.mean(each, axis=0)
            note = "" if len(each) == len(datasets) else f"rests on {len(each)} of {len(datasets)} data sets"
            averages = {"base": base, "new": new, "H": harmonic_mean(base, new), "mean of H": mean_h}
            for metric, value in averages.items():
                rows.append(
                    {**shared, "dataset": AVERAGE, "metric": metric, "value": float(value), "count": len(each), "note": note}
                )  # fmt: skip
        return pd.DataFrame(rows)


class WordingSensitivity:
    """Sensitivity to wording: mean, standard deviation, best and worst over the methods of each data set.

    For records whose methods are single templates; the notes name the best and the worst.

    Args:
        metric: the compared metric, averaged over seeds for each method.
    """

    unit = "fraction"
    higher_is_better = None

    def __init__(self, metric: str = "top1") -> None:
        self.metric = metric

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return `mean`, `spread` (standard deviation), `best`, `worst` and `range`, by model and data set."""
        import pandas as pd

        if self.metric not in records:
            raise OptionError(
                f"wording: the records have no '{self.metric}'{did_you_mean(self.metric, map(str, records))}"
            )
        rows: list[dict[str, Any]] = []
        for (model, dataset), part in records.groupby(["model", "dataset"], sort=False):
            each = part.groupby("method", sort=False)[self.metric].mean().dropna()
            if each.empty:
                continue
            best, worst = each.idxmax(), each.idxmin()
            spread = float(each.std(ddof=1)) if len(each) > 1 else 0.0
            values = {
                "mean": (each.mean(), ""),
                "spread": (spread, ""),
                "best": (each.max(), str(best)),
                "worst": (each.min(), str(worst)),
                "range": (each.max() - each.min(), ""),
            }
            for metric, (value, note) in values.items():
                rows.append(
                    {
                        "model": model, "dataset": dataset, "method": "", "metric": metric, "value": float(value),
                        "count": len(each), "note": note,
                    }
                )  # fmt: skip
        return pd.DataFrame(rows, columns=["model", "dataset", "method", "metric", "value", "count", "note"])


class NearestWords:
    """The words of the vocabulary nearest to each learned context vector, with their Euclidean distance.

    Args:
        seed: use only the records of this seed; without one, all seeds.
    """

    needs_store = True
    unit = None
    higher_is_better = None

    def __init__(self, seed: int | None = 0) -> None:
        self.seed = seed

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return the `distance` to the nearest word, by model, method, data set, shots, vector and `words`."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for shared, notes in _iterate_notes(records, store, "nearest_words", self.seed):
            for number, found in enumerate(notes["nearest_words"], start=1):
                words = ", ".join(str(word) for word, _ in found)
                rows.append(
                    {**shared, "vector": number, "words": words, "metric": "distance", "value": found[0][1]}
                )
        return pd.DataFrame(rows, columns=[*_SHARED, "vector", "words", "metric", "value"])


class FoundPrompts:
    """The prompts that a search found, best first, with their step and their scores on the search's shots.

    Args:
        count: maximum number of prompts per record.
        seed: use only the records of this seed; without one, all seeds.
    """

    needs_store = True
    unit = None
    higher_is_better = None

    def __init__(self, count: int = 5, seed: int | None = None) -> None:
        self.count, self.seed = count, seed

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return `accuracy`, `loss` and `step`, by model, method, data set, seed, rank and `prompt`."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for shared, notes in _iterate_notes(records, store, "best_prompt", self.seed):
            for rank, found in enumerate(notes.get("history", [])[: self.count], start=1):
                place = {**shared, "rank": rank, "prompt": found["prompt"]}
                rows += [
                    {**place, "metric": m, "value": float(found[m]), "unit": unit}
                    for m, unit in (("accuracy", "fraction"), ("loss", None), ("step", "count"))
                ]
        return pd.DataFrame(rows, columns=[*_SHARED, "rank", "prompt", "metric", "value", "unit"])


_SHARED = ("model", "method", "dataset", "shots", "seed")


def _iterate_notes(
    records: pd.DataFrame, store: Store, note: str, seed: int | None
) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the coordinates and notes of the records that have the note `note`."""
    for row in records.to_dict("records"):
        if seed is not None and row.get("seed") != seed:
            continue
        record = store.read(row["id"])
        if record is not None and note in record.notes:
            yield {key: row.get(key, "") for key in _SHARED}, record.notes
