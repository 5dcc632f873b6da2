"""The summary `ablation`: against scipy and statsmodels, planted effects and planted noise, and equal seconds."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.errors import OptionError
from harness.leaderboard.frame import shorten_columns, suite_frame
from harness.leaderboard.summary_table import build_summary_table
from harness.planning.suite import TableSpec
from harness.records.record import Record
from harness.records.store import Store
from harness.statistics import seeds_samples_difference
from harness_training.ablation_differences import NOISE, compare_with_baseline
from harness_training.ablation_summary import HELD_OUT, Ablation
from harness_training.equal_seconds import find_time_budget, read_accuracy_within

SEEDS = range(5)


class Runs:
    """Trainings as a store keeps them: right answers by sample, and evaluations at given seconds."""

    def __init__(self, path):
        self.store, self.cells = Store(path), []

    def add(self, method, seed, right, seconds=(5.0, 10.0), held=(0.5, 0.6), steps=100, clusters=None, **at):
        place = {"experiment": "main", "model": "net", "dataset": "digits", "method": method}
        at = {**place, **at, "seed": seed}
        id = hashlib.sha256(repr(sorted(at.items())).encode()).hexdigest()[:20]
        record = Record(id, "ok", "s", at, {}, {})
        right = np.asarray(right, dtype=float)
        record.metrics, record.directions = {"top1": float(right.mean())}, {"top1": True}
        record.units, record.count = {"top1": "fraction"}, len(right)
        record.cost = {"training_seconds": float(seconds[-1]), "steps": float(steps)}
        answers = {"target": np.zeros(len(right), int), "prediction": 1 - right.astype(int)}
        samples = {"id": [f"x{n}" for n in range(len(right))], **answers, "top1": right}
        samples |= {} if clusters is None else {"cluster": [str(c) for c in clusters]}
        curve = {"step": range(len(seconds)), "seconds": seconds, "accuracy": held}
        self.store.write(record, samples, {"evaluation": {k: list(map(float, v)) for k, v in curve.items()}})
        self.cells.append({"id": id, "at": at, "tags": {}})

    def add_arm(self, method, shares, samples=400, **more):
        """A run per share, seeds 0, 1, …; the same samples are the hard ones for every arm."""
        rng = np.random.default_rng(7)
        hard = rng.uniform(size=samples)
        for seed, share in enumerate(shares):
            noise = np.random.default_rng([seed, len(self.cells)]).uniform(-0.1, 0.1, samples)
            self.add(method, seed, np.argsort(np.argsort(hard + noise)) < share * samples, **more)

    def frame(self):
        self.store.write_manifest({"name": "s", "protocol": "training"}, self.cells)
        return shorten_columns(suite_frame(self.store, "s"))


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / "store")


def pick(found, method, metric, at="steps"):
    chosen = found[(found["method"] == method) & (found["metric"] == metric) & (found["at"] == at)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_numbers_are_scipys_and_statsmodels(runs):
    shares = {"plain": [0.70, 0.72, 0.69, 0.71, 0.73], "dropout": [0.80, 0.83, 0.78, 0.80, 0.84]}
    shares["flip"] = [0.71, 0.70, 0.70, 0.72, 0.72]
    for method, own in shares.items():
        runs.add_arm(method, own)
    frame = runs.frame()
    found = Ablation("plain")(frame, runs.store)
    raw = [stats.ttest_rel(shares[m], shares["plain"]).pvalue for m in ("dropout", "flip")]
    for method, p in zip(("dropout", "flip"), multipletests(raw, method="holm")[1], strict=True):
        gaps = np.subtract(shares[method], shares["plain"])
        difference = pick(found, method, "Δ")
        assert difference["value"] == pytest.approx(gaps.mean())
        low, high = stats.t.interval(0.95, 4, gaps.mean(), stats.sem(gaps))
        assert (difference["low"], difference["high"]) == pytest.approx((low, high))
        assert pick(found, method, "p")["value"] == pytest.approx(p)
        wins = stats.mannwhitneyu(shares[method], shares["plain"]).statistic / 25
        assert pick(found, method, "P(A>B)")["value"] == pytest.approx(wins)
        ids = {m: frame[frame["method"] == m]["id"] for m in (method, "plain")}
        arm, base = (np.stack([runs.store.samples(i)["top1"] for i in own]) for own in ids.values())
        crossed = seeds_samples_difference(arm - base)
        both = pick(found, method, "Δ, seeds × samples")
        assert (both["low"], both["high"]) == pytest.approx((crossed.low, crossed.high))
    assert pick(found, "dropout", "Δ")["note"] == "better than plain"
    assert pick(found, "flip", "Δ")["verdict"] == NOISE
    assert "the interval over seeds contains 0" in pick(found, "flip", "Δ")["note"]
    assert pick(found, "plain", "top1")["verdict"] == "baseline"
    assert set(found[found["method"] == "plain"]["metric"]) == {"top1"}
    assert pick(found, "plain", "top1")["unit"] == "fraction"


def test_the_order_of_records_does_not_matter(runs):
    for method, own in {"plain": [0.7, 0.72, 0.69, 0.71, 0.73], "flip": [0.71, 0.7, 0.7, 0.72, 0.71]}.items():
        runs.add_arm(method, own)
    frame, summary = runs.frame(), Ablation("plain", at="both")
    by = ["method", "at", "metric"]
    found = summary(frame, runs.store).sort_values(by, ignore_index=True)
    for seed in range(4):
        shuffled = frame.sample(frac=1, random_state=seed)
        assert found.equals(summary(shuffled, runs.store).sort_values(by, ignore_index=True))


def test_seeds_that_agree_do_not_outvote_too_few_samples(runs):
    """250 test images: 4 points that all five seeds confirm are noise of the images."""
    rng = np.random.default_rng(0)
    flips = rng.permutation(250)
    for seed in SEEDS:
        base = np.ones(250)
        base[flips[:80]] = 0
        base[flips[80 + seed]] = 0
        arm = base.copy()
        arm[flips[:25]], arm[flips[100 : 100 + 15 + seed % 2]] = 1, 0  # + 25 − 15 or 16 of 250
        runs.add("plain", seed, base)
        runs.add("dropout", seed, arm)
    found = Ablation("plain")(runs.frame(), runs.store)
    difference = pick(found, "dropout", "Δ")
    assert difference["low"] > 0
    assert pick(found, "dropout", "p")["value"] < 0.01
    assert difference["note"] == "inside the noise: the interval over seeds and samples contains 0"


@given(
    st.lists(st.integers(0, 40), min_size=2, max_size=6),
    st.lists(st.integers(0, 40), min_size=2, max_size=6),
    st.integers(2, 6),
    st.booleans(),
)
def test_verdicts_keep_their_word(arm, base, least, lower):
    values = {"b": dict(enumerate(v / 40 for v in base)), "a": dict(enumerate(v / 40 for v in arm))}
    (one,) = compare_with_baseline(values, "b", {}, least=least, lower=lower).values()
    shared = min(len(arm), len(base))
    assert one.seeds == shared
    gaps = np.subtract(arm[:shared], base[:shared]) / 40
    assert one.mean == pytest.approx(gaps.mean())
    if one.verdict == NOISE:
        assert one.reasons
    else:
        assert shared >= least
        assert 0 not in one.over_seeds
        assert one.p <= 0.05
        assert one.verdict == ("better over seeds" if (gaps.mean() > 0) != lower else "worse over seeds")
    mirrored = {name: {s: -v for s, v in own.items()} for name, own in values.items()}
    other = compare_with_baseline(mirrored, "b", {}, least=least, lower=not lower)["a"]
    assert (other.verdict, other.mean) == (one.verdict, pytest.approx(-one.mean))
    assert other.superiority.probability == pytest.approx(one.superiority.probability)


def test_equal_arms_are_rarely_told_apart():
    """Four arms without any effect: the family's verdicts are wrong in at most about 5 % of cases."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        values = {name: dict(enumerate(rng.normal(0.7, 0.02, 5))) for name in "bacd"}
        wrong += any(d.verdict != NOISE for d in compare_with_baseline(values, "b", {}).values())
    assert wrong / 400 < 0.08


def test_equal_seconds_takes_the_last_evaluation_within_the_fastest_arms_time(runs):
    for seed in SEEDS:
        right = np.arange(100) < 70
        runs.add("plain", seed, right, seconds=(4.0, 8.0), held=(0.5, 0.60 + seed / 100))
        runs.add("wide", seed, right, seconds=(3.0, 7.9, 30.0), held=(0.3, 0.40 + seed / 50, 0.9))
        runs.add("deep", seed, right, seconds=(8.5, 17.0), held=(0.8, 0.9))
        runs.add("late", seed, right, seconds=(7.0 + seed, 40.0), held=(0.7 + seed / 1000, 0.9))
    found = Ablation("plain", at="both")(runs.frame(), runs.store)
    assert pick(found, "plain", HELD_OUT, "seconds")["value"] == pytest.approx(0.62)
    wide = pick(found, "wide", "Δ", "seconds")
    assert wide["value"] == pytest.approx(0.44 - 0.62)
    assert wide["verdict"] == "worse over seeds"
    assert "T = 8 s" in wide["note"]
    deep = pick(found, "deep", HELD_OUT, "seconds")
    assert math.isnan(deep["value"])
    assert "5 of 5 seeds have no evaluation within T" in deep["note"]
    assert deep["verdict"] == "not compared"
    late = pick(found, "late", "Δ", "seconds")
    assert late["count"] == 2
    assert "inside the noise: 2 of at least 5 common seeds" in late["note"]
    assert "3 of 5 seeds have no evaluation within T" in late["note"]
    assert pick(found, "wide", "Δ")["value"] == 0


def test_seconds_go_on_over_the_phases_of_a_training(tmp_path):
    store = Store(tmp_path / "store")
    first = {"seconds": [1.0, 2.0], "accuracy": [0.1, 0.2]}
    second = {"seconds": [1.5, 3.0], "accuracy": [0.3, np.nan]}
    curves = {"evaluation-2": second, "training": {"loss": [1.0]}, "evaluation": first}
    store.write(Record("0" * 20, "ok", "s", {}, {}, {}), curves=curves)
    for budget, expected in ((0.5, None), (2.0, 0.2), (3.4, 0.2), (3.5, 0.3), (9.0, 0.3)):
        assert read_accuracy_within(store, "0" * 20, budget) == expected
    assert read_accuracy_within(store, "1" * 20, 9.0) is None


@given(st.dictionaries(st.integers(0, 3), st.lists(st.floats(0.1, 100), min_size=1, max_size=6), min_size=1))
def test_half_of_the_runs_of_some_arm_fit_the_budget_and_no_arm_needs_less(arms):
    totals = [dict(enumerate(own)) for own in arms.values()]
    budget = find_time_budget([*totals, {}])
    assert budget == min(np.median(own) for own in arms.values())
    assert find_time_budget([{}]) is None


def test_models_and_axes_as_arms_with_missing_seeds_and_unequal_steps(runs):
    for shots in (1, 4):
        for seed in SEEDS:
            right = np.arange(50) < 30 + shots + seed
            runs.add("recipe", seed, right, shots=shots)
            if seed:
                runs.add("recipe", seed, right[::-1], model="wide", shots=shots, steps=200)
    frame = runs.frame()
    with pytest.raises(OptionError, match=r"arm 'net' has several records of seed 0 \(shots: 1, 4\)"):
        Ablation("net", by="model")(frame, runs.store)
    found = Ablation("net", by="model", within=["shots"], least=4)(frame, runs.store)
    gaps = found[(found["metric"] == "Δ") & (found["model"] == "wide")]
    assert gaps["shots"].tolist() == [1, 4]
    assert gaps["value"].tolist() == [0, 0]
    assert gaps["count"].tolist() == [4, 4]
    assert gaps["note"].str.contains("not at equal steps: trained for 200, the baseline for 100").all()
    assert gaps["note"].str.contains("no number of wide for seed 0: diverged, failed or not run").all()
    by_axis = Ablation("1", by="shots")(frame[frame["model"] == "net"], runs.store)
    four = by_axis[(by_axis["metric"] == "Δ") & (by_axis["shots"] == "4")].iloc[0]
    assert four["value"] == pytest.approx(3 / 50)
    assert "all seeds differ by the same amount" in four["note"]


def test_samples_that_share_an_image_are_no_more_than_one(runs):
    images = np.random.default_rng(3).uniform(size=(3, 30))
    for seed in range(3):
        for method, share in (("plain", 0.4), ("dropout", 0.7)):
            right = np.repeat(images[seed] < share, 20)
            runs.add(method, seed, right, clusters=np.repeat(np.arange(30), 20))
            runs.add(method, seed, right[::20], model="single")
    found = Ablation("plain")(runs.frame(), runs.store)
    copied, single = (
        pick(found[found["model"] == name], "dropout", "Δ, seeds × samples") for name in ("net", "single")
    )
    assert [copied["low"], copied["high"]] == pytest.approx([single["low"], single["high"]])


def test_a_metric_without_samples_says_so_and_lower_can_be_better(runs):
    runs.add_arm("plain", [0.70, 0.72, 0.69, 0.71, 0.73])
    runs.add_arm("dropout", [0.80, 0.83, 0.78, 0.80, 0.84])
    frame = runs.frame().assign(ece=lambda f: 1 - f["top1"])
    found = Ablation("plain", metric="ece", lower=True)(frame, runs.store)
    note = pick(found, "dropout", "Δ")["note"]
    assert note.startswith("better over seeds than plain")
    assert "no per-sample ece is kept" in note
    assert pick(found, "dropout", "P(A>B)")["value"] == 1
    assert "Δ, seeds × samples" not in set(found["metric"])


def test_a_family_without_the_baseline_is_not_compared(runs):
    runs.add_arm("plain", [0.7] * 5)
    runs.add_arm("dropout", [0.8] * 5, dataset="scenes")
    found = Ablation("plain")(runs.frame(), runs.store)
    assert pick(found, "dropout", "top1")["note"] == "not compared: plain has no value here"
    assert pick(found, "dropout", "top1")["verdict"] == "not compared"
    with pytest.raises(OptionError, match="no method 'plan'; did you mean 'plain'"):
        Ablation("plan")(runs.frame(), runs.store)
    with pytest.raises(OptionError, match="no 'top2'"):
        Ablation("plain", metric="top2")(runs.frame(), runs.store)
    with pytest.raises(OptionError, match="at must be steps, seconds or both"):
        Ablation("plain", at="epochs")


def test_the_table_shows_the_verdict_in_words(runs):
    runs.add_arm("plain", [0.70, 0.72, 0.69, 0.71, 0.73])
    runs.add_arm("dropout", [0.80, 0.83, 0.78, 0.80, 0.84])
    runs.add_arm("flip", [0.71, 0.70, 0.70, 0.72, 0.72])
    runs.frame()
    summary = {"plugin": "ablation", "baseline": "plain", "at": "both"}
    layout = {"rows": ["method", "at", "verdict"], "columns": ["metric"], "summary": summary}
    table = build_summary_table(
        TableSpec(name="t", title="", **layout), suite_frame(runs.store, "s"), runs.store
    )
    headers = [row.header for row in table.rows]
    assert ("dropout", "steps", "better") in headers
    assert ("flip", "steps", NOISE) in headers
    assert any("the interval over seeds contains 0" in note for note in table.footnotes)
