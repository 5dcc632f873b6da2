"""The summary `confused-pairs`: which classes are taken for which, and which are predicted too often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness import HarnessError, OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from harness import Store
    from harness.statistics import Interval

COORDINATES = ("experiment", "model", "dataset", "method")
OF = ("pairs", "classes")


@dataclass(frozen=True, eq=False)
class Answers:
    """True classes and predictions of the seeds of one configuration, as many per seed as it has samples.

    `aligned` tells whether all seeds have the same samples in the same order.
    """

    targets: list[NDArray[np.int64]]
    predictions: list[NDArray[np.int64]]
    aligned: bool
    names: Sequence[str]

    def name(self, number: int) -> str:
        """Return what a class is called, its number if it has no name."""
        return self.names[number] if 0 <= number < len(self.names) else str(number)


class ConfusedPairs:
    """The most confused ordered pairs of classes, or the classes that are predicted too often, over all seeds.

    A pair "a → b" counts the samples of a that were predicted as b, pooled over seeds; its `share` is of all
    predictions for samples of a. Seeds repeat the same samples, so with several of them the share's interval
    is Wilson's at the effective size (`harness.statistics.seeds_samples_interval`), which is wider than that
    of as many independent samples. The pairs are the most frequent of all K·(K−1): on new samples their
    shares will be somewhat lower.

    Of a class, `predicted` counts how often it was predicted (the column's sum in a confusion matrix), `true`
    its samples, both pooled over seeds; `ratio` is predicted / true, 1 if the class is predicted as often as
    it occurs.

    Args:
        of: `pairs` or `classes`.
        top: largest number of pairs or classes of each model, method and data set.
        within: axes or tags that separate configurations besides model, method and data set.
        level: confidence of the intervals.
    """

    needs_store = True
    unit = None
    higher_is_better = None
    titles: ClassVar[dict[str, str]] = {
        "pair": "True → predicted",
        "count": "Samples",
        "share": "Share of the true class",
        "predicted": "Times predicted",
        "true": "Times true",
        "ratio": "Predicted / true",
    }

    def __init__(
        self, of: str = "pairs", top: int = 10, within: list[str] | None = None, level: float = 0.95
    ) -> None:
        if of not in OF:
            raise OptionError(f"confused-pairs: no '{of}'{did_you_mean(of, OF)}: of is pairs or classes")
        if top < 1:
            raise OptionError(f"confused-pairs: expected a top of at least 1, got {top}")
        self.of, self.top, self.within, self.level = of, top, list(within or []), level

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return `count` and `share` by `pair`, or `predicted`, `true` and `ratio` by `class`; worst first."""
        import pandas as pd

        for name in self.within:
            if name not in records:
                raise OptionError(
                    f"confused-pairs: the records have no '{name}'{did_you_mean(name, map(str, records))}"
                )
        by = [*(c for c in COORDINATES if c in records), *self.within]
        rows: list[dict[str, Any]] = []
        found = False
        for key, part in records.groupby(by, sort=False, dropna=False) if len(records) else ():
            answers = read_answers(part["id"].tolist(), store)
            if answers is None:
                continue
            found = True
            at = dict(zip(by, key, strict=True))
            own = self._rank_pairs(answers) if self.of == "pairs" else self._rank_classes(answers)
            rows += [{**at, **row} for row in own]
        if len(records) and not found:
            raise HarnessError(
                "confused-pairs: no record keeps per-sample targets and predictions as class numbers"
            )
        subject = "pair" if self.of == "pairs" else "class"
        output = (subject, "metric", "value", "low", "high", "count", "note", "unit")
        return pd.DataFrame(rows, columns=[*dict.fromkeys((*COORDINATES, *by)), *output])

    def _rank_pairs(self, answers: Answers) -> list[dict[str, Any]]:
        import numpy as np

        targets, predictions = np.concatenate(answers.targets), np.concatenate(answers.predictions)
        wrong = targets != predictions
        pairs, counts = np.unique(
            np.stack([targets[wrong], predictions[wrong]], 1), axis=0, return_counts=True
        )
        worst = np.argsort(-counts, kind="stable")[: self.top]
        seeds = len(answers.targets)
        note = (
            "" if answers.aligned else "seeds have different samples; the interval takes them as independent"
        )
        rows = []
        for (true, predicted), count in zip(pairs[worst].tolist(), counts[worst].tolist(), strict=True):
            pair = {"pair": f"{answers.name(true)} → {answers.name(predicted)}", "note": ""}
            whole = int((targets == true).sum())
            ends = measure_share(answers, true, predicted, self.level)
            told = {
                "value": count / whole,
                "count": whole,
                "unit": "fraction",
                "note": note if seeds > 1 else "",
            }
            rows.append({**pair, "metric": "count", "value": float(count), "count": whole, "unit": "count"})
            rows.append({**pair, "metric": "share", **told, "low": ends.low, "high": ends.high})
        return rows

    def _rank_classes(self, answers: Answers) -> list[dict[str, Any]]:
        import numpy as np

        targets, predictions = np.concatenate(answers.targets), np.concatenate(answers.predictions)
        classes = np.union1d(targets, predictions)
        true = np.array([(targets == c).sum() for c in classes])
        predicted = np.array([(predictions == c).sum() for c in classes])
        ratios = np.where(true > 0, predicted / np.maximum(true, 1), np.inf)
        rows = []
        for n in np.lexsort((-predicted, -ratios))[: self.top].tolist():
            shared = {"class": answers.name(int(classes[n])), "count": len(targets), "note": ""}
            counts: Mapping[str, float] = {"predicted": float(predicted[n]), "true": float(true[n])}
            rows += [{**shared, "metric": name, "value": v, "unit": "count"} for name, v in counts.items()]
            note = "" if true[n] else "no sample is of this class"
            rows.append({**shared, "metric": "ratio", "value": float(ratios[n]), "note": note})
        return rows


def read_answers(ids: Sequence[str], store: Store) -> Answers | None:
    """Return the answers of these records that keep class numbers, or None if none does."""
    import numpy as np

    from harness_plots.confusion import read_class_names

    targets, predictions, samples, names = [], [], [], None
    for id in ids:
        table = store.samples(id)
        if table is None or not {"target", "prediction"} <= set(table):
            continue
        pair = [table[name].to_numpy() for name in ("target", "prediction")]
        if not all(np.issubdtype(side.dtype, np.integer) for side in pair):
            continue
        own = table["id"].astype(str).to_numpy() if "id" in table else np.arange(len(table)).astype(str)
        order = np.argsort(own, kind="stable")
        samples.append(own[order])
        targets.append(pair[0][order])
        predictions.append(pair[1][order])
        names = read_class_names(store.read(id)) if names is None else names
    if not targets or not any(map(len, targets)):
        return None
    aligned = all(np.array_equal(s, samples[0]) for s in samples) and all(
        np.array_equal(t, targets[0]) for t in targets
    )
    return Answers(targets, predictions, aligned, names or ())


def measure_share(answers: Answers, true: int, predicted: int, level: float = 0.95) -> Interval:
    """Return the interval of the share of a class's predictions that are another class."""
    import numpy as np

    from harness.statistics import seeds_samples_interval, wilson_interval

    if answers.aligned:
        inside = answers.targets[0] == true
        hits = np.stack([(p[inside] == predicted).astype(float) for p in answers.predictions])
        if (crossed := seeds_samples_interval(hits, level)) is not None:
            return crossed
    own = np.concatenate(answers.targets) == true
    return wilson_interval(
        int((np.concatenate(answers.predictions)[own] == predicted).sum()), int(own.sum()), level
    )
