"""The summary `probe-differences` against closed forms, planted looking and planted blindness."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

from harness.errors import OptionError
from harness.leaderboard.frame import shorten_columns, suite_frame
from harness.leaderboard.summary_table import build_summary_table
from harness.planning.suite import TableSpec
from harness.records.record import Record
from harness.records.store import Store
from harness.statistics import seeds_samples_difference
from harness_mllm.probe_arms import QuestionValues
from harness_mllm.probe_differences import LOOKED, NOT_JUDGED, NOT_SHOWN, measure_probe_difference
from harness_mllm.probe_summary import ProbeDifferences

ACCURACY = "choice-accuracy"


class Answers:
    """Records as a store keeps them: right answers by question, maybe in clusters, under a probe."""

    def __init__(self, path):
        self.store, self.cells = Store(path), []

    def add(self, probe, right, model="net", seed=0, kind="sees", clusters=None, ids=None, better=True, **at):
        place = {"experiment": "main", "model": model, "dataset": "scenes", "method": None, **at}
        place |= {"seed": seed} | ({} if probe is None else {"probe": probe})
        id = hashlib.sha256(repr(sorted(place.items(), key=str)).encode()).hexdigest()[:20]
        right = np.asarray(right, dtype=float)
        record = Record(id, "ok", "s", place, {}, {})
        record.metrics, record.directions = {ACCURACY: float(right.mean())}, {ACCURACY: better}
        record.units, record.count = {ACCURACY: "fraction"}, len(right)
        samples = {"id": ids or [f"q{n:04}" for n in range(len(right))], ACCURACY: right}
        if clusters is not None:
            samples["cluster"] = [str(c) for c in clusters]
        self.store.write(record, samples)
        self.cells.append({"id": id, "at": place, "tags": {"model.kind": kind}})

    def frame(self):
        self.store.write_manifest({"name": "s", "protocol": "answering"}, self.cells)
        return shorten_columns(suite_frame(self.store, "s"))

    def summarise(self, **options):
        return ProbeDifferences(**options)(self.frame(), self.store)


@pytest.fixture
def answers(tmp_path):
    return Answers(tmp_path / "store")


def pick(found, metric, probe, **at):
    chosen = found[(found["metric"] == metric) & (found["probe"] == probe)]
    for name, value in at.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def give(*counts):
    """Right answers as blocks of 1 and 0: 5 right, 3 wrong, … ."""
    return np.concatenate([np.full(count, float(n % 2 == 0)) for n, count in enumerate(counts)])


def test_p_values_are_mcnemars_exact_ones_with_holms_correction(answers):
    answers.add("none", give(60, 40))
    falls = {"no image": (10, 2), "another image": (20, 1), "images reversed": (5, 5)}
    for probe, (lost, won) in falls.items():
        answers.add(probe, np.concatenate([give(0, lost, 60 - lost), give(won, 40 - won)]))
    found = answers.summarise()
    raw = [stats.binomtest(won, lost + won).pvalue for lost, won in falls.values()]
    for (probe, (lost, won)), p in zip(falls.items(), multipletests(raw, method="holm")[1], strict=True):
        assert pick(found, "Δ", probe)["value"] == pytest.approx((won - lost) / 100)
        assert pick(found, "p", probe)["value"] == pytest.approx(p)
        assert pick(found, ACCURACY, probe)["value"] == pytest.approx((60 - lost + won) / 100)
    assert raw[0] == pytest.approx(0.0386, abs=5e-5)
    assert pick(found, "p", "no image")["value"] > 0.05  # significant alone, not among three
    assert pick(found, ACCURACY, "none")["verdict"] == NOT_SHOWN
    assert "no significant fall under 'no image'" in pick(found, ACCURACY, "none")["note"]
    assert pick(found, "Δ", "no image")["unit"] == "fraction"


def test_intervals_are_clustered_by_image():
    rng = np.random.default_rng(0)
    clusters = [str(n) for n in np.repeat(np.arange(200), rng.integers(1, 8, 200))]
    own = dict(zip(dict.fromkeys(clusters), rng.normal(-0.3, 1, 200), strict=True))
    gaps = np.array([own[c] for c in clusters]) + rng.normal(0, 0.1, len(clusters))
    ids = [f"{n:05}" for n in range(len(clusters))]
    pair = (QuestionValues(ids, clusters, gaps), QuestionValues(ids, clusters, np.zeros(len(ids))))
    found = measure_probe_difference([pair])
    alone = [QuestionValues(ids, ids, side.values) for side in pair]
    naive = measure_probe_difference([(alone[0], alone[1])])
    codes = np.unique(clusters, return_inverse=True)[1]
    robust = OLS(gaps, np.ones(len(gaps))).fit(cov_type="cluster", cov_kwds={"groups": codes})
    assert found.mean == pytest.approx(gaps.mean())
    width = 2 * 1.96 * robust.bse[0]
    assert found.interval.high - found.interval.low == pytest.approx(width, rel=0.1)
    assert naive.interval.high - naive.interval.low < 0.7 * width
    assert (found.clusters, found.questions) == (200, len(ids))


def test_five_copies_of_a_question_are_one_image():
    """Twelve images, all of whose questions fall, have the sign test's 2/2¹² whatever the number of questions."""
    for copies in (1, 5):
        clusters = [f"{n:02}" for n in range(12) for _ in range(copies)]
        ids = [f"{c}-{n}" for n, c in enumerate(clusters)]
        ids = sorted(ids)
        fallen = QuestionValues(ids, clusters, np.zeros(len(ids)))
        found = measure_probe_difference([(fallen, QuestionValues(ids, clusters, np.ones(len(ids))))])
        assert found.p == pytest.approx(2 / 2**12)
        assert (found.interval.low, found.interval.high) == (-1, -1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("uvwxyz"), st.booleans(), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 3),
)
def test_exchanging_the_sides_turns_the_sign_alone(questions, runs):
    clusters, arm, base = (list(column) for column in zip(*questions, strict=True))
    ids = [f"{n:02}" for n in range(len(questions))]
    one = QuestionValues(ids, clusters, np.array(arm, float))
    other = QuestionValues(ids, clusters, np.array(base, float))
    found, turned = (measure_probe_difference([pair] * runs) for pair in ((one, other), (other, one)))
    assert found.mean == pytest.approx(np.mean(one.values - other.values))
    assert turned.mean == pytest.approx(-found.mean)
    assert turned.p == pytest.approx(found.p)
    assert (found.interval is None) == (len(set(clusters)) == 1)
    if found.interval is not None:
        assert found.interval.low - 1e-9 <= found.mean <= found.interval.high + 1e-9


def test_prompts_and_orders_of_a_question_are_averaged(answers):
    ids, clusters = ["a", "a", "b", "b", "b", "c"], ["x", "x", "x", "x", "x", "y"]
    answers.add("none", [1, 1, 1, 1, 1, 0], ids=ids, clusters=clusters)
    answers.add("no image", [1, 0, 0, 0, 1, 1], ids=ids, clusters=clusters)
    found = answers.summarise()
    assert pick(found, "Δ", "no image")["value"] == pytest.approx((-1 / 2 - 2 / 3 + 1) / 3)
    assert "each question counts once; over all answers it is 0.8333" in pick(found, ACCURACY, "none")["note"]
    assert pick(found, "Δ", "no image")["note"] == "over 2 images (3 questions)"


def plant(answers, kind, shares, seeds=3, questions=300, per_image=2):
    """Models of a tag: the share right under each probe, the same questions hard for all."""
    hard = np.random.default_rng(1).uniform(size=questions)
    clusters = np.arange(questions) // per_image
    for seed in range(seeds):
        for n, (probe, share) in enumerate(shares.items()):
            moved = hard + np.random.default_rng([seed, n, len(kind)]).uniform(-0.1, 0.1, questions)
            right = np.argsort(np.argsort(moved)) < (share + 0.01 * seed) * questions
            answers.add(probe, right, f"{kind} {seed}", kind=kind, clusters=clusters)


def test_one_that_looks_and_a_blind_one(answers):
    plant(answers, "sees", {"none": 0.9, "no image": 0.5, "another image": 0.5, "images reversed": 0.9})
    plant(answers, "blind", {"none": 0.5, "no image": 0.5, "another image": 0.5})
    found = answers.summarise(by="tag.model.kind", blind="blind")
    kinds = {"sees": LOOKED, "blind": NOT_SHOWN}
    for kind, verdict in kinds.items():
        assert set(found[found["tag.model.kind"] == kind]["verdict"]) == {verdict}
    gap = pick(found, "Δ", "no image", **{"tag.model.kind": "sees"})
    assert gap["value"] == pytest.approx(-0.4)
    assert gap["count"] == 3
    assert gap["note"] == "over 3 runs and 150 images (300 questions)"
    frame = answers.frame()
    seeing = frame[frame["tag.model.kind"] == "sees"].sort_values("model")
    by_image = {
        probe: np.stack([
            answers.store.samples(i)[ACCURACY].to_numpy(float).reshape(150, 2).mean(axis=1)[
                np.argsort([str(n) for n in range(150)])
            ]
            for i in seeing[seeing["probe"] == probe]["id"]
        ])
        for probe in ("none", "no image")
    }  # fmt: skip
    crossed = seeds_samples_difference(by_image["no image"] - by_image["none"])
    assert (gap["low"], gap["high"]) == pytest.approx((crossed.low, crossed.high))
    from_blind = pick(found, "Δ from blind", "none")
    assert from_blind["value"] == pytest.approx(0.4)
    assert from_blind["low"] > 0.3
    assert pick(found, "p from blind", "none")["value"] < 0.001
    assert "3 and 3 runs" in from_blind["note"]
    assert len(found[found["metric"] == "Δ from blind"]) == 1


def test_a_fall_without_the_image_alone_is_not_looking(answers):
    plant(answers, "sees", {"none": 0.9, "no image": 0.0, "another image": 0.9}, seeds=1)
    found = answers.summarise()
    plain = pick(found, ACCURACY, "none")
    assert plain["verdict"] == NOT_SHOWN
    assert plain["note"] == "not shown to look: no significant fall under 'another image'"


def test_what_was_not_measured_is_not_judged(answers):
    plant(answers, "sees", {"none": 0.9, "no image": 0.3}, seeds=1)
    plain = pick(answers.summarise(), ACCURACY, "none")
    assert plain["verdict"] == NOT_JUDGED
    assert "'another image' was not measured" in plain["note"]


def test_records_without_a_probe_are_plain_ones(answers):
    answers.add(None, give(9, 1))
    answers.add("no image", give(5, 5))
    assert pick(answers.summarise(), "Δ", "no image")["value"] == pytest.approx(-0.4)


def test_different_questions_are_not_compared(answers):
    answers.add("none", give(9, 1))
    answers.add("no image", give(9, 2))
    note = pick(answers.summarise(), ACCURACY, "no image")["note"]
    assert note.startswith("not compared: different samples: 1 only on one side")


def test_shots_are_kept_apart_and_other_doubles_are_named(answers):
    for shots in (0, 4):
        answers.add("none", give(9, 1), shots=shots)
        answers.add("no image", give(9 - shots, 1 + shots), shots=shots)
    found = answers.summarise()
    assert pick(found, "Δ", "no image", shots=4)["value"] == pytest.approx(-0.4)
    answers.add("none", give(9, 1), shots=0, prompt="another")
    with pytest.raises(OptionError, match=r"several records of seed 0 and probe 'none' on 'scenes' \(prompt"):
        answers.summarise()


def test_wrong_options_name_what_is_near(answers):
    answers.add("none", give(9, 1))
    with pytest.raises(OptionError, match=r"no 'choice-acuracy'.*choice-accuracy"):
        answers.summarise(metric="choice-acuracy")
    with pytest.raises(OptionError, match=r"no model 'nett'.*net"):
        answers.summarise(blind="nett")
    with pytest.raises(OptionError, match=r"no 'tag.model.kid'.*tag.model.kind"):
        answers.summarise(by="tag.model.kid")
    with pytest.raises(OptionError, match="0 < level < 1"):
        ProbeDifferences(level=95)
    answers.add("no image", give(9, 1), better=False)
    with pytest.raises(OptionError, match="better if it is lower"):
        answers.summarise()


def test_the_order_of_records_does_not_matter(answers):
    plant(answers, "sees", {"none": 0.9, "no image": 0.5, "another image": 0.6})
    frame, summary = answers.frame(), ProbeDifferences(by="tag.model.kind")
    found = summary(frame, answers.store).sort_values(["probe", "metric"], ignore_index=True)
    other = summary(frame.sample(frac=1, random_state=3).reset_index(drop=True), answers.store)
    assert found.equals(other.sort_values(["probe", "metric"], ignore_index=True))


def test_the_table_shows_verdict_and_differences(answers):
    plant(answers, "sees", {"none": 0.9, "no image": 0.5, "another image": 0.5})
    answers.frame()
    spec = TableSpec(
        name="probes", rows=["tag.model.kind", "verdict", "probe"], columns=["metric"],
        summary={"plugin": "probe-differences", "by": "tag.model.kind"},
    )  # fmt: skip
    table = build_summary_table(spec, suite_frame(answers.store, "s"), answers.store)
    assert [row.header for row in table.rows] == [
        ("sees", LOOKED, probe) for probe in ("none", "no image", "another image")
    ]
    assert [column.metric for column in table.columns] == [ACCURACY, "Δ", "p"]


def test_questions_with_equally_many_answers_need_no_note(answers):
    answers.add("none", [1, 1, 0, 1], ids=["a", "a", "b", "b"], clusters=["x", "x", "y", "y"])
    answers.add("no image", [1, 0, 0, 1], ids=["a", "a", "b", "b"], clusters=["x", "x", "y", "y"])
    assert pick(answers.summarise(), ACCURACY, "no image")["note"] == ""
