"""The summary `confused-pairs`: against scikit-learn's matrix and planted confusions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix
from statsmodels.stats.proportion import proportion_confint

from harness.errors import HarnessError, OptionError
from harness.records.record import Record
from harness.records.store import Store
from harness.statistics import seeds_samples_interval
from harness_training.confused_pairs import Answers, ConfusedPairs, measure_share

NAMES = ["boa", "koala", "scorpion", "sea slug", "spiny lobster"]
LABELS = st.integers(0, 4)
RUNS = st.tuples(st.integers(1, 40), st.integers(1, 3)).flatmap(
    lambda size: st.tuples(
        st.lists(LABELS, min_size=size[0], max_size=size[0]),
        st.lists(st.lists(LABELS, min_size=size[0], max_size=size[0]), min_size=size[1], max_size=size[1]),
    )
)


class Kept(Store):
    """A store of answers in memory: a table of samples and class names for every record."""

    def __init__(self, tables, names=NAMES):
        self.tables, self.names = tables, list(names)

    def samples(self, id):
        return self.tables.get(id)

    def read(self, id):
        return Record(id, "ok", "s", {}, {}, {}, notes={"class_names": self.names})


def answer(targets, predictions, order=None):
    table = pd.DataFrame({"target": targets, "prediction": predictions}, dtype=np.int64)
    table["id"] = [f"x{n:03d}" for n in range(len(table))]
    return table if order is None else table.iloc[order]


def frame(*ids):
    return pd.DataFrame({"id": ids, "model": "net", "dataset": "d", "method": "a", "seed": range(len(ids))})


def wide(found, subject):
    return found.pivot(index=subject, columns="metric", values="value").loc[
        list(dict.fromkeys(found[subject]))
    ]


@given(RUNS, st.integers(0, 2**32 - 1))
def test_counts_shares_and_column_sums_are_those_of_the_matrix(runs, seed):
    """Samples may stand in another order for each seed."""
    targets, predictions = runs
    rng = np.random.default_rng(seed)
    tables = {str(n): answer(targets, p, rng.permutation(len(p))) for n, p in enumerate(predictions)}
    store, rows = Kept(tables), frame(*tables)
    labels = np.arange(5)
    matrix = sum(confusion_matrix(targets, p, labels=labels) for p in predictions)
    pairs = ConfusedPairs(top=100)(rows, store)
    assert not pairs["note"].any()  # the same samples in every seed
    off = matrix - np.diag(np.diag(matrix))
    if off.any():
        shown = wide(pairs, "pair")
        expected = {f"{NAMES[i]} → {NAMES[j]}": off[i, j] for i, j in np.argwhere(off)}
        assert shown["count"].to_dict() == expected
        assert (np.diff(shown["count"]) <= 0).all()
        for i, j in np.argwhere(off):
            assert shown["share"][f"{NAMES[i]} → {NAMES[j]}"] == pytest.approx(off[i, j] / matrix[i].sum())
    else:
        assert len(pairs) == 0
    classes = wide(ConfusedPairs("classes", top=100)(rows, store), "class")
    for n, name in enumerate(NAMES):
        if name not in classes.index:
            assert matrix[n].sum() == matrix[:, n].sum() == 0
            continue
        assert classes.loc[name, "predicted"] == matrix[:, n].sum()
        assert classes.loc[name, "true"] == matrix[n].sum()
        ratio = matrix[:, n].sum() / matrix[n].sum() if matrix[n].any() else np.inf
        assert classes.loc[name, "ratio"] == pytest.approx(ratio)


def test_the_interval_counts_a_sample_once_however_many_seeds_agree():
    targets, predictions = np.repeat([0, 1], 50), np.repeat([0, 1], 50)
    predictions[:10] = 2
    one = Answers([targets], [predictions], True, NAMES)
    single = measure_share(one, 0, 2)
    assert (single.low, single.high) == pytest.approx(proportion_confint(10, 50, method="wilson"), abs=1e-9)
    alike = measure_share(Answers([targets] * 5, [predictions] * 5, True, NAMES), 0, 2)
    hits = np.tile((predictions[:50] == 2).astype(float), (5, 1))
    crossed = seeds_samples_interval(hits)
    assert (alike.low, alike.high) == (crossed.low, crossed.high)
    pooled = proportion_confint(50, 250, method="wilson")
    assert alike.high - alike.low > 2 * (pooled[1] - pooled[0])
    apart = measure_share(Answers([targets] * 5, [predictions] * 5, False, NAMES), 0, 2)
    assert (apart.low, apart.high) == pytest.approx(pooled, abs=1e-9)


def test_planted_confusions_come_first_with_their_names():
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(5), 40)
    tables = {}
    for seed in range(3):
        predictions = targets.copy()
        predictions[rng.choice(40, 12, replace=False)] = 2  # boa → scorpion
        predictions[120 + rng.choice(40, 6, replace=False)] = 4  # sea slug → spiny lobster
        predictions[rng.choice(np.arange(160, 200), 2, replace=False)] = 1
        tables[str(seed)] = answer(targets, predictions)
    pairs = ConfusedPairs(top=2)(frame(*tables), Kept(tables))
    assert list(dict.fromkeys(pairs["pair"])) == ["boa → scorpion", "sea slug → spiny lobster"]
    share = pairs[(pairs["pair"] == "boa → scorpion") & (pairs["metric"] == "share")].iloc[0]
    assert (share["value"], share["count"]) == (pytest.approx(0.3), 120)
    assert share["low"] < 0.3 < share["high"]
    classes = ConfusedPairs("classes", top=1)(frame(*tables), Kept(tables))
    assert set(classes["class"]) == {"scorpion"}
    assert wide(classes, "class")["ratio"].tolist() == [pytest.approx((120 + 36) / 120)]
    nameless = ConfusedPairs(top=1)(frame(*tables), Kept(tables, ()))
    assert nameless["pair"].tolist()[0] == "0 → 2"


def test_seeds_on_other_samples_are_pooled_with_a_note():
    tables = {"0": answer([0] * 10, [2] * 3 + [0] * 7), "1": answer([0] * 20, [2] * 3 + [0] * 17)}
    share = ConfusedPairs()(frame("0", "1"), Kept(tables)).set_index("metric").loc["share"]
    assert share["value"] == pytest.approx(0.2)
    assert "seeds have different samples" in share["note"]


def test_records_without_answers_and_wrong_options_are_told():
    with pytest.raises(HarnessError, match="no record keeps per-sample targets"):
        ConfusedPairs()(frame("0"), Kept({}))
    assert len(ConfusedPairs()(frame(), Kept({}))) == 0
    with pytest.raises(OptionError, match="did you mean 'pairs'"):
        ConfusedPairs("pair")
    with pytest.raises(OptionError, match="top of at least 1"):
        ConfusedPairs(top=0)
