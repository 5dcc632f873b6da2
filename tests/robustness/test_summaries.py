"""Summaries of records: values by hand, seeds, what is missing, and who may enter the fit."""

import numpy as np
import pandas as pd
import pytest

from harness.errors import OptionError
from harness_robustness.corruption_errors import ALEXNET_CLEAN_ERROR, ALEXNET_ERROR, IMAGENET_C
from harness_robustness.corruption_summary import CorruptionErrorSummary
from harness_robustness.effective_robustness import bootstrap_line_interval, fit_line, from_scale, to_scale
from harness_robustness.fitted_line_summary import FittedLine
from harness_robustness.shift_tables import OUTPUT
from harness_robustness.summaries import (
    MEAN,
    EffectiveRobustnessSummary,
    GapSummary,
    MeanOverShifts,
    RelativeRobustnessSummary,
)


def record(model, dataset, top1, seed=0, reference=None, standard=False, **more):
    return {
        "model": model,
        "dataset": dataset,
        "method": None,
        "seed": seed,
        "status": "ok",
        "top1": top1,
        "tag.model.standard": standard,
        "tag.dataset.reference": reference,
        **{f"tag.dataset.{k}": v for k, v in more.items()},
    }


def shifted(accuracies, standard=()):
    """Records from {model: {dataset: accuracy}}; `ref` is the reference of every other dataset."""
    return pd.DataFrame(
        record(
            model, dataset, value, reference=None if dataset == "ref" else "ref", standard=model in standard
        )
        for model, values in accuracies.items()
        for dataset, value in values.items()
    )


def value(table, model, dataset, metric):
    found = table[(table.model == model) & (table.dataset == dataset) & (table.metric == metric)]
    assert len(found) == 1, table
    return found.iloc[0]


ALL = [
    GapSummary(),
    MeanOverShifts(),
    RelativeRobustnessSummary(baseline="net"),
    EffectiveRobustnessSummary(resamples=20),
    CorruptionErrorSummary("net"),
]


@pytest.mark.parametrize("summary", ALL, ids=lambda s: type(s).__name__)
def test_no_records_or_no_shifts_give_an_empty_table_with_the_columns(summary):
    assert list(summary(pd.DataFrame()).columns) == list(OUTPUT)
    only_reference = shifted({"net": {"ref": 0.9}})
    assert summary(only_reference).empty
    assert list(summary(only_reference).columns) == list(OUTPUT)
    without_tags = only_reference[["model", "dataset", "seed", "top1"]]
    assert summary(without_tags).empty


@pytest.mark.parametrize("summary", ALL, ids=lambda s: type(s).__name__)
def test_row_order_and_unfinished_cells_do_not_matter(summary):
    records = shifted(
        {m: {"ref": a, "x": a - 0.2, "y": a - 0.3} for m, a in [("net", 0.8), ("b", 0.7)]}, {"net", "b"}
    )
    failed = record("net", "x", 0.0, reference="ref", standard=True) | {"status": "failed"}
    key = ["model", "dataset", "metric"]
    before = summary(records).sort_values(key).reset_index(drop=True)
    more = pd.concat([records.iloc[::-1], pd.DataFrame([failed])])
    after = summary(more).sort_values(key).reset_index(drop=True)
    pd.testing.assert_frame_equal(before.drop(columns="note"), after.drop(columns="note"))


@pytest.mark.parametrize(
    "cls", [GapSummary, MeanOverShifts, RelativeRobustnessSummary, EffectiveRobustnessSummary]
)
def test_an_unknown_metric_is_refused_with_the_nearest(cls):
    with pytest.raises(OptionError, match="no metric 'top-1'; did you mean 'top1'"):
        cls(metric="top-1")(shifted({"net": {"ref": 0.9, "x": 0.5}}))


@pytest.mark.parametrize("summary", ALL, ids=lambda s: type(s).__name__)
def test_several_records_of_one_seed_are_not_mixed(summary):
    records = shifted({"net": {"ref": 0.9, "x": 0.5}})
    summary(pd.concat([records, records]))  # the same cell in two experiments
    with pytest.raises(OptionError, match=r"several records of 'net' on 'x' for one seed, .*`where`"):
        summary(pd.concat([records, records.assign(top1=[0.9, 0.4])]))


def test_a_corruption_that_stands_for_two_data_sets_has_no_error_of_its_own():
    sets = [("fog a", 0.5, 1), ("fog b", 0.4, 1), ("fog 2", 0.3, 2)]
    records = pd.DataFrame(
        [record("net", "ref", 0.9)]
        + [record("net", name, v, reference="ref", corruption="fog", severity=s) for name, v, s in sets]
    )
    table = CorruptionErrorSummary("net")(records)
    assert np.isnan(value(table, "net", "corruptions of ref", "mce").value)
    assert (
        "several data sets have the same corruption and severity"
        in value(table, "net", "corruptions of ref", "mce").note
    )
    table = CorruptionErrorSummary("net")(records[records.dataset != "fog b"])
    assert value(table, "net", "corruptions of ref", "mce").value == pytest.approx(100)


def test_gap_by_hand_with_its_mean():
    table = GapSummary()(shifted({"net": {"ref": 0.9, "x": 0.5, "y": 0.8}}))
    assert value(table, "net", "x", "gap").value == pytest.approx(0.4)
    assert value(table, "net", "y", "gap").value == pytest.approx(0.1)
    mean = value(table, "net", MEAN, "gap")
    assert mean.value == pytest.approx(0.25)
    assert (mean["count"], mean.note) == (2, "")


def test_each_shift_uses_the_reference_of_its_own_classes():
    records = pd.DataFrame(
        [
            record("net", "full", 0.7),
            record("net", "full-200", 0.9),
            record("net", "v2", 0.6, reference="full"),
            record("net", "a", 0.2, reference="full-200"),
        ]
    )
    table = GapSummary()(records)
    assert value(table, "net", "v2", "gap").value == pytest.approx(0.1)
    assert value(table, "net", "a", "gap").value == pytest.approx(0.7)


def test_missing_cells_are_counted_and_named():
    records = shifted(
        {"net": {"ref": 0.9, "x": 0.5, "y": 0.8, "z": 0.2}, "part": {"ref": 0.9, "x": 0.5}, "no": {"x": 0.4}}
    )
    mean = MeanOverShifts()(records)
    assert value(mean, "net", MEAN, "top1").value == pytest.approx(0.5)
    assert value(mean, "net", MEAN, "top1")["count"] == 3
    part = value(mean, "part", MEAN, "top1")
    assert (part["count"], part.note) == (1, "rests on 1 of 3 shifts; missing y, z")
    gap = GapSummary()(records)
    none = value(gap, "no", "x", "gap")
    assert np.isnan(none.value)
    assert none.note == "no cell on the reference 'ref'"
    assert np.isnan(value(gap, "no", MEAN, "gap").value)
    assert value(gap, "no", MEAN, "gap")["count"] == 0


def test_seeds_give_paired_t_intervals():
    rows = []
    for seed, (ref, x, y) in enumerate([(0.90, 0.50, 0.6), (0.80, 0.41, 0.5), (0.85, 0.46, 0.7)]):
        rows += [
            record("net", "ref", ref, seed),
            record("net", "x", x, seed, "ref"),
            record("net", "y", y, seed, "ref"),
        ]
    gap = value(GapSummary()(pd.DataFrame(rows)), "net", "x", "gap")
    differences = np.array([0.40, 0.39, 0.39])
    half = 4.302653 * differences.std(ddof=1) / np.sqrt(3)
    assert gap.value == pytest.approx(differences.mean())
    assert (gap.low, gap.high) == pytest.approx(
        (differences.mean() - half, differences.mean() + half), abs=1e-6
    )
    mean = value(MeanOverShifts()(pd.DataFrame(rows)), "net", MEAN, "top1")
    per_seed = np.array([0.55, 0.455, 0.58])
    half = 4.302653 * per_seed.std(ddof=1) / np.sqrt(3)
    assert mean.value == pytest.approx(per_seed.mean())
    assert mean.high - mean.value == pytest.approx(half, abs=1e-6)


def test_methods_of_one_model_are_kept_apart():
    records = shifted({"net": {"ref": 0.9, "x": 0.5}})
    other = records.assign(method="ensemble", top1=[0.8, 0.7])
    table = GapSummary()(pd.concat([records, other]))
    by_method = table[table.dataset == "x"].set_index("method").value
    assert by_method.to_dict() == pytest.approx({"": 0.4, "ensemble": 0.1})


def test_relative_robustness_against_a_named_or_a_tagged_baseline():
    records = shifted(
        {"plain": {"ref": 0.8, "x": 0.5, "y": 0.4}, "augmented": {"ref": 0.79, "x": 0.6, "y": 0.35}}
    )
    named = RelativeRobustnessSummary(baseline="plain")(records)
    assert value(named, "augmented", "x", "relative_robustness").value == pytest.approx(0.1)
    assert value(named, "augmented", MEAN, "relative_robustness").value == pytest.approx(0.025)
    assert "plain" not in set(named.model)
    tagged = records.assign(**{"tag.model.baseline": [None] * 3 + ["plain"] * 3})
    assert RelativeRobustnessSummary()(tagged).value.tolist() == pytest.approx(named.value.tolist())
    lost = RelativeRobustnessSummary(baseline="plane")(records)
    assert lost.value.isna().all()
    assert "did you mean 'plain'" in lost.note.iloc[0]


STANDARD = {
    f"s{i}": {"ref": a, "x": b}
    for i, (a, b) in enumerate([(0.6, 0.3), (0.7, 0.42), (0.75, 0.5), (0.8, 0.55)])
}


def test_effective_robustness_is_the_fit_over_standard_models():
    zero_shot = {"clip": {"ref": 0.65, "x": 0.6}}
    table = EffectiveRobustnessSummary(resamples=200)(shifted(STANDARD | zero_shot, STANDARD))
    x, y = np.array([[v["ref"], v["x"]] for v in STANDARD.values()]).T
    line = fit_line(x, y)
    got = value(table, "clip", "x", "effective_robustness")
    assert got.value == pytest.approx(float(line.effective_robustness(0.65, 0.6)) / 100)
    low, high = bootstrap_line_interval(x, y, [0.65], resamples=200)
    assert (got.low, got.high) == pytest.approx((0.6 - high[0], 0.6 - low[0]))
    assert got["count"] == 4
    assert got.note == "line over 4 standard models"
    assert value(table, "s0", "x", "effective_robustness").note.endswith("this one among them")


def test_evaluated_models_never_enter_the_fit():
    alone = EffectiveRobustnessSummary(resamples=20)(shifted(STANDARD, STANDARD))
    crowd = {f"e{i}": {"ref": 0.5 + i / 30, "x": 0.9} for i in range(10)}
    together = EffectiveRobustnessSummary(resamples=20)(shifted(crowd | STANDARD, STANDARD))
    for model in STANDARD:
        before = value(alone, model, "x", "effective_robustness")
        after = value(together, model, "x", "effective_robustness")
        assert (after.value, after.low, after.high) == pytest.approx((before.value, before.low, before.high))


def test_a_line_that_bends_is_two_lines_without_the_model_at_the_bend():
    def pieces(x):
        low = from_scale(-4.0 + 0.3 * to_scale(x))
        return float(low if x <= 0.9186 else from_scale(-6.0 + 1.7 * to_scale(x)))

    standard = {f"s{i}": {"ref": x, "x": pieces(x)} for i, x in enumerate((0.8, 0.85, 0.9, 0.93, 0.95, 0.98))}
    models = standard | {
        "pivot": {"ref": 0.9186, "x": 0.0},
        "low": {"ref": 0.82, "x": pieces(0.82) + 0.1},
        "high": {"ref": 0.96, "x": pieces(0.96) + 0.2},
    }
    records = shifted(models, [*standard, "pivot"])
    table = EffectiveRobustnessSummary(resamples=20, bends={"x": 0.9186})(records)
    for model, above, note in (
        ("s0", 0.0, "line over 3 standard models up to 0.9186, this one among them"),
        ("s5", 0.0, "line over 3 standard models above 0.9186, this one among them"),
        ("low", 0.1, "line over 3 standard models up to 0.9186"),
        ("high", 0.2, "line over 3 standard models above 0.9186"),
        ("pivot", -pieces(0.9186), "line over 3 standard models up to 0.9186"),
    ):
        got = value(table, model, "x", "effective_robustness")
        assert got.value == pytest.approx(above, abs=1e-6)
        assert got.note == note
    few = {m: v for m, v in models.items() if m not in ("s3", "s4")}
    table = EffectiveRobustnessSummary(resamples=20, bends={"x": 0.9186})(shifted(few, [*standard, "pivot"]))
    assert "without the bend at 0.9186" in value(table, "low", "x", "effective_robustness").note


@pytest.mark.parametrize("accuracies", [[], [0.7], [0.7, 0.7]])
def test_too_few_standard_models_say_so(accuracies):
    standard = {f"s{i}": {"ref": a, "x": 0.4} for i, a in enumerate(accuracies)}
    table = EffectiveRobustnessSummary()(shifted(standard | {"clip": {"ref": 0.6, "x": 0.5}}, standard))
    got = value(table, "clip", "x", "effective_robustness")
    assert np.isnan(got.value)
    assert got["count"] == len(accuracies)
    assert "no line" in got.note


def test_standard_models_below_the_minimum_or_without_reference_stay_out():
    records = shifted(
        STANDARD | {"weak": {"ref": 0.2, "x": 0.19}, "lost": {"x": 0.9}}, [*STANDARD, "weak", "lost"]
    )
    table = EffectiveRobustnessSummary(minimum=0.55, resamples=20)(records)
    expected = EffectiveRobustnessSummary(resamples=20)(shifted(STANDARD, STANDARD))
    assert value(table, "s1", "x", "effective_robustness").value == pytest.approx(
        value(expected, "s1", "x", "effective_robustness").value
    )
    assert np.isnan(value(table, "lost", "x", "effective_robustness").value)
    assert value(table, "weak", "x", "effective_robustness").note == "line over 4 standard models"


def test_tags_read_from_text_count_as_standard_too():
    records = shifted(STANDARD, STANDARD)
    as_text = records.assign(**{"tag.model.standard": "true"})
    a, b = (EffectiveRobustnessSummary(resamples=20)(r) for r in (records, as_text))
    assert a.value.tolist() == b.value.tolist()


def corrupted(model, error, clean, names=IMAGENET_C, severities=(1, 2, 3, 4, 5), spread=0.0):
    rows = [record(model, "ref", 1 - clean)]
    for name in names:
        base = error[name] if isinstance(error, dict) else error
        rows += [
            record(
                model,
                f"{name}-{s}",
                1 - base - spread * (s - 3),
                reference="ref",
                corruption=name,
                severity=s,
            )
            for s in severities
        ]
    return rows


def test_corruption_error_against_alexnet_and_against_a_model():
    names = IMAGENET_C
    rows = corrupted("alex", ALEXNET_ERROR, ALEXNET_CLEAN_ERROR, spread=0.02)
    half = {n: ALEXNET_ERROR[n] / 2 for n in names}
    records = pd.DataFrame(rows + corrupted("half", half, ALEXNET_CLEAN_ERROR / 2))
    for normaliser in ("alexnet", "alex"):
        table = CorruptionErrorSummary(normaliser)(records)
        where = "corruptions of ref"
        for metric in ("mce", "relative_mce"):
            assert value(table, "alex", where, metric).value == pytest.approx(100)
            assert value(table, "half", where, metric).value == pytest.approx(50)
            assert value(table, "half", where, metric)["count"] == 75
        assert value(table, "half", "fog", "ce").value == pytest.approx(50)
        assert (table.metric == "ce").sum() == 30
    plain = value(table, "alex", "corruptions of ref", "mean_corruption_error")
    assert plain.value == pytest.approx(78.8993, abs=1e-3)


def test_relative_mce_leaves_out_what_costs_the_normaliser_nothing():
    errors = dict.fromkeys(IMAGENET_C, 0.4) | {"fog": 0.2}
    rows = corrupted("norm", errors, 0.2, spread=0.01)
    rows += corrupted("half", {c: 0.1 + (e - 0.2) / 2 + (c == "fog") * 0.3 for c, e in errors.items()}, 0.1)
    table = CorruptionErrorSummary("norm")(pd.DataFrame(rows))
    where = "corruptions of ref"
    for model, relative in (("norm", 100), ("half", 50)):
        got = value(table, model, where, "relative_mce")
        assert got.value == pytest.approx(relative)
        assert got["count"] == 70
        assert got.note == "without fog, to which the normaliser loses nothing"
        assert value(table, model, where, "mce")["count"] == 75
    table = CorruptionErrorSummary("norm")(pd.DataFrame(corrupted("norm", 0.2, 0.2)))
    assert np.isnan(value(table, "norm", where, "relative_mce").value)


def test_natural_shifts_and_corruptions_are_kept_apart():
    records = pd.DataFrame([*corrupted("net", 0.5, 0.2), record("net", "x", 0.6, reference="ref")])
    assert value(MeanOverShifts()(records), "net", MEAN, "top1").value == pytest.approx(0.6)
    assert value(MeanOverShifts(corruptions=True)(records), "net", MEAN, "top1")["count"] == 76
    assert set(CorruptionErrorSummary("net")(records).dataset) == {*IMAGENET_C, "corruptions of ref"}


def test_incomplete_corruptions_are_not_compared():
    where = "corruptions of ref"
    rows = corrupted("whole", 0.5, 0.2) + corrupted("no-fog", 0.5, 0.2, [n for n in IMAGENET_C if n != "fog"])
    rows += corrupted("mild", 0.3, 0.2, severities=(1, 2, 3))
    rows += corrupted("more", 0.5, 0.2, [*IMAGENET_C, "spatter"])
    rows += corrupted("no-clean", 0.5, 0.2)[1:]
    for normaliser in ("alexnet", "whole"):
        table = CorruptionErrorSummary(normaliser)(pd.DataFrame(rows))
        for model, why in (
            ("no-fog", "no cells for fog"),
            ("mild", "at severities 1, 2, 3, not 1, 2, 3, 4, 5"),
        ):
            got = value(table, model, where, "mce")
            assert np.isnan(got.value)
            assert why in got.note
            assert not ((table.model == model) & (table.metric == "ce")).any()
        more = value(table, "more", where, "mce")
        assert more.value == pytest.approx(value(table, "whole", where, "mce").value)
        assert more.note == "without spatter, which the normaliser lacks"
        assert np.isfinite(value(table, "no-clean", where, "mce").value)
        assert "no clean error" in value(table, "no-clean", where, "relative_mce").note
        assert "rests on" in value(table, "mild", where, "mean_corruption_error").note
    lost = CorruptionErrorSummary("wole")(pd.DataFrame(rows))
    assert lost[lost.metric == "mce"].value.isna().all()
    assert "did you mean 'whole'" in value(lost, "mild", where, "mce").note


def test_the_fitted_line_stands_in_a_table_of_its_own():
    accuracies = {"a": (0.6, 0.4), "b": (0.7, 0.52), "c": (0.8, 0.63), "other": (0.9, 0.2)}
    records = shifted({m: {"ref": x, "v2": y} for m, (x, y) in accuracies.items()}, {"a", "b", "c"})
    found = FittedLine(scale="linear")(records).set_index("metric")
    x, y = zip(*(accuracies[m] for m in "abc"), strict=True)
    slope, intercept = np.polyfit(x, y, 1)
    assert found.loc["slope", "value"] == pytest.approx(slope)
    assert found.loc["intercept", "value"] == pytest.approx(intercept)
    assert found.loc["R²", "value"] == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert found.loc["standard models", "value"] == 3
    assert set(found["dataset"]) == {"v2"}
    none = FittedLine()(shifted({"a": {"ref": 0.5, "v2": 0.4}}, {"a"})).set_index("metric")
    assert np.isnan(none.loc["slope", "value"])
    assert "needs two" in none.loc["slope", "note"]
    assert FittedLine()(pd.DataFrame()).empty
