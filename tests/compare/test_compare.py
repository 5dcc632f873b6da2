"""Comparison of stores: matching, tests, intervals, warnings, and what can't be paired."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from harness.cli import main
from harness.comparing import CompareError, Side, compare, render_comparison_markdown, render_comparison_text


def sides(a, b, where_a=None, where_b=None):
    return Side("A", a, where_a or {}), Side("B", b, where_b or {})


def test_difference_of_two_stores_is_the_paired_one(maker):
    """Seven samples lost, one won: McNemar is the binomial test of 1 in 8, the difference is −6/100."""
    a, b = maker("a"), maker("b")
    before = np.ones(100)
    before[0] = 0
    after = before.copy()
    after[0], after[10:17] = 1, 0
    a.record("m", "d", before)
    b.record("m", "d", after)
    found = compare(*sides(a.done(), b.done()))
    (only,) = found.differences
    assert only.difference == pytest.approx(-0.06)
    assert only.raw_p == pytest.approx(binomtest(1, 8).pvalue)
    assert only.test == "mcnemar exact"
    assert only.interval.low < -0.06 < only.interval.high
    assert only.cell["model"] == "m"
    assert found.without == ()


def test_two_models_within_one_store_match_in_all_else(maker, hits):
    made = maker("s")
    for data in ("x", "y"):
        made.record("ViT", data, hits(0.9, 400, 1))
        made.record("ResNet", data, hits(0.5, 400, 2))
        made.record("other", data, hits(0.5, 400, 3))
    store = made.done()
    found = compare(*sides(store, store, {"model": "ResNet"}, {"model": "ViT"}))
    assert [d.cell["dataset"] for d in found.differences] == ["x", "y"]
    assert {d.answer for d in found.differences} == {"better"}
    assert found.without == ("model",)
    assert found.warnings == []
    assert "model" not in found.differences[0].cell


def test_lower_is_better_turns_the_answer(maker):
    a, b = maker("a"), maker("b")
    for seed, (one, other) in enumerate([(0.10, 0.20), (0.11, 0.22), (0.12, 0.21)]):
        a.record("m", "d", values={"ece": one}, seed=seed)
        b.record("m", "d", values={"ece": other}, seed=seed)
    (d,) = compare(*sides(a.done(), b.done()), metrics=["ece"]).differences
    assert d.evidence.kind == "seeds"
    assert d.raw_p == pytest.approx(ttest_rel([0.2, 0.22, 0.21], [0.1, 0.11, 0.12]).pvalue)
    assert d.answer == "worse"


def test_holm_corrects_over_the_cells_of_a_metric(maker):
    a, b = maker("a"), maker("b")
    for n, lost in enumerate((6, 7, 20)):
        after = np.ones(50)
        after[:lost] = 0
        a.record("m", f"d{n}", np.ones(50))
        b.record("m", f"d{n}", after)
    raw = {6: 2 * 0.5**6, 7: 2 * 0.5**7, 20: 2 * 0.5**20}
    ds = compare(*sides(a.done(), b.done())).differences
    assert [d.raw_p for d in ds] == pytest.approx([raw[6], raw[7], raw[20]])
    assert [d.p_value for d in ds] == pytest.approx([raw[7] * 2, raw[7] * 2, raw[20] * 3])


@pytest.mark.parametrize("seeds", [1, 3])
def test_null_data_raises_no_false_alarms(maker, seeds):
    """Equal models that differ by chance, over samples and over seeds: at most 5 % of runs show anything."""
    alarms = 0
    for trial in range(20):
        rng = np.random.default_rng([trial, seeds])
        a, b = maker(f"a{trial}"), maker(f"b{trial}")
        for data in range(2):
            hard = rng.uniform(0.2, 1.0, 300)  # samples differ in difficulty
            for seed in range(seeds):
                for made in (a, b):
                    shift = rng.normal(0, 0.05) if seeds > 1 else 0  # and training runs in luck
                    made.record("m", f"d{data}", rng.random(300) < np.clip(hard + shift, 0, 1), seed=seed)
        found = compare(*sides(a.done(), b.done()))
        alarms += any(d.answer != "no difference shown" for d in found.differences)
    assert alarms <= 4  # P(more than 4 of 20 at 5 %) is 0.3 %


def test_seed_noise_is_no_difference_but_a_large_one_is(maker):
    """Two methods whose seeds scatter by points: samples alone would tell the runs apart, seeds do not."""
    rng = np.random.default_rng(0)
    a, b = maker("a"), maker("b")
    for seed, (one, other) in enumerate([(0.80, 0.86), (0.86, 0.80), (0.83, 0.84)]):
        a.record("m", "noise", rng.random(5000) < one, seed=seed)
        b.record("m", "noise", rng.random(5000) < other, seed=seed)
        a.record("m", "real", rng.random(5000) < 0.5 + one / 100, seed=seed)
        b.record("m", "real", rng.random(5000) < 0.9 + one / 100, seed=seed)
    noise, real = compare(*sides(a.done(), b.done())).differences
    assert (noise.answer, real.answer) == ("no difference shown", "better")
    assert noise.evidence.kind == "seeds×samples"
    assert 0.0 in noise.interval
    assert real.interval.low < 0.4 < real.interval.high


def test_one_lost_sample_over_two_seeds_is_no_proof(maker):
    """Differences that are all 0 or 1 are no proportion: their interval must reach zero."""
    a, b = maker("a"), maker("b")
    for seed in range(2):
        after = np.ones(200)
        before = after.copy()
        before[5] = 0
        a.record("m", "d", before, seed=seed)
        b.record("m", "d", after, seed=seed)
    (d,) = compare(*sides(a.done(), b.done())).differences
    assert d.answer == "no difference shown"
    assert d.interval.low <= 0


def test_p_value_and_interval_of_several_seeds_agree(maker):
    rng = np.random.default_rng(3)
    a, b = maker("a"), maker("b")
    for n in range(12):
        for seed in range(3):
            a.record("m", f"d{n}", rng.random(200) < 0.7, seed=seed)
            b.record("m", f"d{n}", rng.random(200) < 0.7 + n / 60, seed=seed)
    ds = compare(*sides(a.done(), b.done())).differences
    shown = [0.0 not in d.interval for d in ds]
    assert shown == [d.raw_p < 0.05 for d in ds]
    assert set(shown) == {True, False}
    d = ds[6]
    edge = d.evidence.interval(1 - d.raw_p)
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-6)


def test_a_store_against_itself_is_identical_in_every_metric(maker, hits):
    made = maker("s")
    made.record("m", "d", hits(0.7, 50, 0), values={"ece": 0.1})
    store = made.done()
    found = compare(*sides(store, store), metrics=["all"])
    assert [d.metric for d in found.differences] == ["top1", "ece"]
    assert all((d.interval.low, d.interval.high, d.p_value) == (0, 0, 1) for d in found.differences)
    assert found.warnings == []


def test_order_of_samples_and_records_is_without_influence(maker, hits):
    order = np.random.default_rng(0).permutation(300)
    ids = np.array([f"i{n}" for n in range(300)])
    before, after = hits(0.7, 300, 1), hits(0.8, 300, 2)
    a, b, c = maker("a"), maker("b"), maker("c")
    a.record("m", "d", before, ids=ids.tolist())
    b.record("m", "d", after, ids=ids.tolist())
    c.record("m", "d", after[order], ids=ids[order].tolist())
    (straight,) = compare(*sides(a.done(), b.done())).differences
    (shuffled,) = compare(*sides(a.done(), c.done())).differences
    assert straight.interval == shuffled.interval
    assert straight.raw_p == shuffled.raw_p


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"files": False}, "no per-sample records in B"),
        ({"ids": [f"other/{i}" for i in range(40)]}, "different samples: 40 only on one side"),
        ({"right": np.ones(30), "ids": [f"d/{i:05d}" for i in range(30)]}, "different samples: 10 only"),
    ],
)
def test_says_why_pairing_is_impossible(maker, change, reason):
    a, b = maker("a"), maker("b")
    a.record("m", "d", np.ones(40))
    b.record("m", "d", **{"right": np.zeros(40), **change})
    (d,) = compare(*sides(a.done(), b.done())).differences
    assert d.answer == "undecided"
    assert d.interval is None
    assert reason in d.reason


def test_a_metric_without_values_per_sample_and_one_seed_is_undecided(maker):
    a, b = maker("a"), maker("b")
    a.record("m", "d", np.ones(40), values={"ece": 0.1})
    b.record("m", "d", np.zeros(40), values={"ece": 0.2})
    (d,) = compare(*sides(a.done(), b.done()), metrics=["ece"]).differences
    assert d.answer == "undecided"
    assert d.reason == "ece has no value per sample in A"


def test_different_seeds_are_paired_over_samples_and_it_says_so(maker, hits):
    a, b = maker("a"), maker("b")
    for seed in (0, 1):
        a.record("m", "d", hits(0.5, 100, seed), seed=seed)
    b.record("m", "d", hits(0.9, 100, 9), seed=7)
    (d,) = compare(*sides(a.done(), b.done())).differences
    assert d.answer == "better"
    assert d.reason == "seeds differ (0,1 in A, 7 in B): paired over samples only"


def test_what_is_on_one_side_only_and_what_is_not_ok(maker):
    a, b = maker("a"), maker("b")
    for made, data in ((a, "only a"), (b, "only b"), (a, "both"), (b, "both"), (a, "failed")):
        made.record("m", data, np.ones(20))
    b.record("m", "failed", status="failed", reason="it broke")
    found = compare(*sides(a.done(), b.done()))
    assert [c["dataset"] for c in found.only_a] == ["only a"]
    assert [c["dataset"] for c in found.only_b] == ["only b"]
    assert [(u.cell["dataset"], u.a, u.b) for u in found.unfinished] == [("failed", "ok", "failed")]
    assert [d.cell["dataset"] for d in found.differences] == ["both"]


def test_warns_where_conditions_differ_and_only_there(maker):
    a, b = maker("a"), maker("b")
    same = np.ones(20)
    a.record("m", "same", same)
    b.record("m", "same", same)
    a.record("m", "d", same)
    changed = {"version": "2", "torch": "2.5.1", "device": "A100", "batch_size": 32, "fingerprint": "g"}
    b.record("m", "d", same, **changed, precision="bfloat16", images_mode="fast")
    found = compare(*sides(a.done(), b.done()))
    assert {w.what: (w.a, w.b) for w in found.warnings} == {
        "model: plugin version": ("1", "2"),
        "model: fingerprint": ("model-f", "model-g"),
        "dataset: plugin version": ("1", "2"),
        "data fingerprint": ("dataset-f", "dataset-g"),
        "precision": ("float32", "bfloat16"),
        "images mode": ("exact", "fast"),
        "torch version": ("2.4.0", "2.5.1"),
        "batch size": ("64", "32"),
        "device": ("H200", "A100"),
    }
    assert {(w.cells, w.of) for w in found.warnings} == {(1, 2)}


def test_records_that_are_no_longer_planned_do_not_count(maker):
    """After an upgrade a cell has an old and a new record; the plan knows which is meant."""
    a = maker("a")
    a.record("m", "d", np.zeros(20), version="old")
    a.cells.clear()
    a.record("m", "d", np.ones(20), version="new")
    store = a.done()
    (d,) = compare(*sides(store, store)).differences
    assert d.a == 1.0


@pytest.mark.parametrize(
    ("where_a", "where_b", "metrics", "message"),
    [
        ({"model": "VIT"}, {}, [], "nothing has model=VIT; did you mean 'ViT'?"),
        ({"modle": "ViT"}, {}, [], "no coordinate or tag 'modle'; did you mean 'model'?"),
        ({}, {}, ["top-1"], "no record has the metric 'top-1'; did you mean 'top1'?"),
        ({"model": "*"}, {"model": "ViT"}, [], "leaves several records for one cell"),
        ({"dataset": "x"}, {"model": "ViT"}, [], "leaves several records for one cell"),
    ],
)
def test_wrong_selections_get_one_line(maker, where_a, where_b, metrics, message):
    made = maker("s")
    for model in ("ViT", "ResNet"):
        for data in ("x", "y"):
            made.record(model, data, np.ones(10))
    store = made.done()
    with pytest.raises(CompareError) as caught:
        compare(*sides(store, store, where_a, where_b), metrics=metrics)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_in_common_names_the_coordinate(maker):
    a, b = maker("a"), maker("b")
    a.record("ViT", "d", np.ones(10))
    b.record("ResNet", "d", np.ones(10))
    with pytest.raises(CompareError, match="model is ViT in A, ResNet in B"):
        compare(*sides(a.done(), b.done()))


def test_nasty_names_stay_harmless_in_every_format(maker, nasty, capsys):
    a, b = maker("a"), maker("b")
    for n, name in enumerate(nasty):
        a.record(name, f"{name}{n}", np.ones(10))
        b.record(name, f"{name}{n}", np.zeros(10))
    a.record(nasty[0], "only a", np.ones(10))
    found = compare(*sides(a.done(), b.done()))
    text, marked = render_comparison_text(found), render_comparison_markdown(found)
    assert "\x1b" not in text + marked
    assert "<script>" not in marked
    assert "&lt;script&gt;" in marked
    rows = [line for line in marked.splitlines() if line.startswith("|")]
    bars = {line.replace("\\|", "").count("|") for line in rows}
    assert len(rows) == len(nasty) + 2
    assert len(bars) == 1
    assert main(["compare", str(a.store.path), str(b.store.path), "--json"]) == 0
    names = {d["cell"]["model"] for d in json.loads(capsys.readouterr().out)["differences"]}
    assert names == set(nasty)


def test_missing_store_is_one_line(tmp_path, capsys):
    assert main(["compare", str(tmp_path / "no"), str(tmp_path / "no")]) == 2
    assert capsys.readouterr().err == f"harness: A: {tmp_path / 'no'}: no such store\n"


def test_wilcoxon_over_data_sets_counts_each_data_set_once(maker):
    from scipy.stats import wilcoxon

    a, b = maker("a"), maker("b")
    lost = [1, 2, 3, 4, 5, 6, 8]
    for n, count in enumerate(lost):
        after = np.ones(100)
        after[:count] = 0
        a.record("m", f"d{n}", np.ones(100))
        b.record("m", f"d{n}", after)
    (overall,) = compare(*sides(a.done(), b.done())).overall()
    assert overall.data_sets == 7
    assert overall.wilcoxon_p == pytest.approx(wilcoxon(lost).pvalue)
    assert overall.mean_difference == pytest.approx(-sum(lost) / 700)


def test_values_per_sample_that_are_no_numbers_are_said(maker):
    made = maker("a")
    for model, values in (("a", [1.0, 0.0]), ("b", ["right", "wrong"])):
        id = made.record(model, "x", values={"top1": 0.5})
        made.store.write(made.store.read(id), {"id": ["1", "2"], "top1": values})
    store = made.done()
    (difference,) = compare(Side("A", store, {"model": "a"}), Side("B", store, {"model": "b"})).differences
    assert difference.answer == "undecided"
    assert difference.reason == "top1 has no number per sample in B"


def test_a_metric_that_one_side_lacks_is_told_with_its_cell(maker):
    made = maker("a")
    made.record("a", "digits", values={"top1": 0.5})
    made.record("b", "digits", values={"map": 0.5})
    store = made.done()
    found = compare(Side("A", store, {"model": "a"}), Side("B", store, {"model": "b"}))
    assert "dataset digits: top1 is on one side only" in render_comparison_text(found)


def test_holm_counts_the_cells_that_were_tested_and_each_other_says_why_not(maker):
    a, b = maker("a"), maker("b")
    for made, value in ((a, 0.5), (b, 0.4)):
        made.record("m", "tested", np.arange(100) < 100 * value)
        for seed in range(3):
            made.record("m", "steady", values={"top1": value}, seed=seed)
    found = compare(*sides(a.done(), b.done()))
    assert "Holm over 1 cell;" in render_comparison_text(found)
    steady = found.differences[1]
    assert steady.answer == "undecided"
    assert "3 seed(s) show no variation" in steady.reason
    assert "paired by seed only" in steady.reason


def test_questions_about_one_image_are_compared_by_image(maker):
    """Twenty images with 1 to 4 questions each: the interval is that of the images' values, not of the questions."""
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(20), rng.integers(1, 5, 20))
    before, after = rng.integers(0, 2, (2, len(clusters)))
    a, b = maker("a"), maker("b")
    a.record("m", "d", before, clusters=clusters)
    b.record("m", "d", after, clusters=clusters)
    (found,) = compare(*sides(a.done(), b.done())).differences
    assert found.difference == pytest.approx(after.mean() - before.mean())
    assert found.evidence.n == 20
    sums = np.bincount(clusters, weights=after - before - found.difference)
    values = found.difference + 20 / len(clusters) * sums
    assert np.sort((found.evidence.b - found.evidence.a)[0]) == pytest.approx(np.sort(values))


def test_other_questions_about_the_same_images_are_not_paired(maker):
    a, b = maker("a"), maker("b")
    clusters = np.arange(40) // 4
    a.record("m", "d", np.ones(40), clusters=clusters)
    b.record("m", "d", np.zeros(40), clusters=clusters, ids=[f"d/{n + 20:05d}" for n in range(40)])
    (found,) = compare(*sides(a.done(), b.done())).differences
    assert found.evidence.kind == "none"
    assert found.evidence.reason == "other samples in the same clusters: 20 only in A, 20 only in B"


def test_a_missing_value_of_a_clustered_sample_is_no_crash(maker):
    a, b = maker("a"), maker("b")
    clusters = np.arange(8) // 2
    for side, right in ((a, np.ones(8)), (b, np.r_[np.zeros(7), np.nan])):
        side.record("m", "d", right, clusters=clusters, values={"top1": float(np.nanmean(right))})
    (found,) = compare(*sides(a.done(), b.done())).differences
    assert found.evidence.reason == "top1 is not the mean of its per-sample values in B"
