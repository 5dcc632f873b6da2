"""Checks of a metric: known values, no regard for order, its direction and range, and clear errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from harness.contract.declared import ask
from harness.contract.evidence import Predictions
from harness.errors import HarnessError
from harness.planning.evidence_matching import find_evidence_classes
from harness.testing import metric_evidence as kit
from harness.testing.verdicts import NotChecked, Violation, describe_error, expect, must

CLOSE = {"rel_tol": 1e-6, "abs_tol": 1e-9}


class MetricSubject:
    """A metric under test, known values, and how to make evidence for it."""

    def __init__(
        self,
        plugin: Any,
        examples: Sequence[tuple[Any, Any]] | None = None,
        make: kit.MakeEvidence | None = None,
    ) -> None:
        self.plugin = plugin
        self.examples = list(examples if examples is not None else ask(plugin, "examples"))
        self._make = make

    def make(self, quality: float, seed: int = 0) -> Any:
        """Make evidence of a quality from 0 (all wrong) to 1 (perfect).

        Raises NotChecked when the metric reads evidence that the kit can't make.
        """
        if self._make is not None:
            return self._make(quality, seed)
        with must("the class of its evidence, from its argument's annotation or `reads`", "Planning asks."):
            read = find_evidence_classes(self.plugin) or (Predictions,)
        if Predictions in read:
            return kit.make_predictions(quality, seed, self._classes)
        if example := next(filter(None, (ask(kind, "example") for kind in read)), None):
            return example(quality, seed)
        name = " or ".join(kind.__name__ for kind in read)
        raise NotChecked(
            f"the metric reads {name}, which the kit can't make: give {name} a class method "
            "`example(quality, seed)`, or the test a fixture `make_evidence`"
        )

    @cached_property
    def _classes(self) -> int:
        """Ten classes, or two for a metric that refuses ten."""
        try:
            self.plugin(kit.make_predictions(0.7, 0))
        except HarnessError:
            return 2
        except Exception:  # whatever it is, the checks report it
            pass
        return kit.CLASSES

    def evaluate(self, evidence: Any, what: str) -> dict[str, float]:
        """Return the metric's answer as numbers by name (a single number has the name "")."""
        with must(f"a number for {what}", "A cell fails if a metric raises."):
            answer = self.plugin(evidence)
        with must("a number, or numbers by name", "Records hold numbers only."):
            return _name_numbers(answer)

    def evaluate_quality(self, quality: float) -> dict[str, float]:
        """Return the metric's answer for new evidence of a quality."""
        return self.evaluate(self.make(quality), f"evidence of quality {quality}")

    def expect_same(self, value: Mapping[str, float], evidence: Any, what: str, why: str) -> None:
        """Raise Violation unless evidence has this value, up to floating point."""
        found = self.evaluate(evidence, what)
        same = value.keys() == found.keys() and all(
            math.isclose(value[k], found[k], rel_tol=1e-6, abs_tol=1e-9) for k in value
        )
        expect(same, f"the same value for {what}, {format_numbers(value)}", format_numbers(found), why)


def _name_numbers(answer: Any) -> dict[str, float]:
    named = answer if isinstance(answer, Mapping) else {"": answer}
    return {str(name): float(value) for name, value in named.items()}


def format_numbers(values: Mapping[str, float]) -> str:
    """Return an answer in one line."""
    return ", ".join(f"{name} {value:.6g}".strip() for name, value in values.items())


def check_known_values(subject: MetricSubject) -> None:
    """The metric has the known values of its examples."""
    if not subject.examples:
        raise NotChecked("no known values: give the class, or the test, `examples` of (evidence, value)")
    for number, (evidence, value) in enumerate(subject.examples):
        found = subject.evaluate(evidence, f"example {number}")
        close = {"rel_tol": 1e-6, "abs_tol": 1e-7}
        wrong = {
            k: v
            for k, v in _name_numbers(value).items()
            if not math.isclose(found.get(k, math.nan), v, **close)
        }
        expect(
            not wrong,
            f"{format_numbers(wrong)} for example {number}",
            format_numbers(found),
            "The value is known from the definition: the formula is another one.",
        )


def check_direction(subject: MetricSubject) -> None:
    """Better evidence does not get a worse value, and perfect evidence a better one than all wrong."""
    better = ask(subject.plugin, "higher_is_better")
    expected = "`higher_is_better` to be True or False"
    expect(isinstance(better, bool), expected, repr(better), "Tables mark the best by it.")
    sign = 1 if better else -1
    perfect, guessed, wrong = map(subject.evaluate_quality, (1.0, 0.5, 0.0))
    distinguished = False
    for name in perfect.keys() & guessed.keys() & wrong.keys():
        best, middle, worst = sign * perfect[name], sign * guessed[name], sign * wrong[name]
        slack = 1e-9 + 1e-6 * abs(best)
        expect(
            best >= middle - slack and best >= worst - slack,
            f"perfect evidence to get the best value, with higher_is_better = {better}",
            f"{perfect[name]:.6g} for perfect, {guessed[name]:.6g} for guessed, {wrong[name]:.6g} for all wrong",
            "The table would mark the worst as best: the direction is declared the other way round, or the "
            "formula is.",
        )
        distinguished = distinguished or best > worst + slack
    expect(
        distinguished or not perfect,
        "perfect evidence to get a better value than evidence that is all wrong",
        f"{format_numbers(perfect)} for both",
        "A metric that can't tell these two apart measures nothing.",
    )


def check_range(subject: MetricSubject) -> None:
    """Values lie in the bounds that the metric declares."""
    bounds = ask(subject.plugin, "bounds")
    if bounds is None:
        raise NotChecked("the metric declares no `bounds`")
    ordered = len(bounds) == 2 and bounds[0] < bounds[1]
    expect(ordered, "`bounds` to be (lowest, highest)", repr(bounds), "Plots and intervals are cut at them.")
    lowest, highest = map(float, bounds)
    if ask(subject.plugin, "unit") == "fraction":
        expected, why = "the bounds of a fraction to lie in [−1, 1]", "Tables show fractions in percent."
        expect(lowest >= -1 and highest <= 1, expected, repr(bounds), why)
    for quality in (0.0, 0.3, 0.5, 0.8, 1.0):
        values = subject.evaluate_quality(quality)
        outside = {k: v for k, v in values.items() if not lowest - 1e-9 <= v <= highest + 1e-9}
        expect(
            not outside,
            f"values from {lowest:g} to {highest:g}, as `bounds` declares",
            f"{format_numbers(outside)} for evidence of quality {quality}",
            "Plots and intervals are cut at the bounds; percent instead of a fraction is the usual reason.",
        )


def check_order_invariance(subject: MetricSubject) -> None:
    """The order of the samples does not matter."""
    whole = subject.make(0.55, 1)
    shuffled = kit.shuffle_evidence(whole, 5)
    if shuffled is None:
        raise NotChecked("the evidence can't be put in another order")
    why = "The order comes from how a data set lists its files; it says nothing about the model."
    subject.expect_same(
        subject.evaluate(whole, "evidence"), shuffled, "the same samples in another order", why
    )


def check_merging(subject: MetricSubject) -> None:
    """Evidence put together from parts has the value of the whole; values per sample average to it."""
    whole = subject.make(0.55, 2)
    if not isinstance(whole, Predictions):
        raise NotChecked("only Predictions are put together from parts")
    rows = np.arange(len(whole))
    parts = [kit.select_rows(whole, rows[a:b]) for a, b in ((0, 10), (10, 11), (11, 150), (150, len(whole)))]
    value = subject.evaluate(whole, "the whole")
    why = "Evidence is gathered batch by batch: the batch size would decide the result."
    subject.expect_same(value, Predictions.concat(parts), "parts put together", why)
    per_sample = ask(subject.plugin, "per_sample")
    if per_sample is None:
        return
    with must("per_sample(evidence) to return one number per sample", "Paired tests and intervals need it."):
        values = np.asarray(per_sample(whole), dtype=float)
        in_parts = np.concatenate([np.asarray(per_sample(p), dtype=float) for p in parts])
    expect(
        values.shape == (len(whole),) and np.allclose(values, in_parts, rtol=1e-6),
        "per_sample to return one number for each of N samples, whatever stands beside it",
        f"shape {values.shape}" if values.shape != (len(whole),) else "others for parts of the samples",
        "Bootstrap intervals draw samples: their values must not depend on the others.",
    )
    mean = float(values.mean())
    expect(
        len(value) == 1 and math.isclose(mean, next(iter(value.values())), rel_tol=1e-6, abs_tol=1e-9),
        f"the mean of per_sample to be the metric's value, {format_numbers(value)}",
        f"{mean:.6g}",
        "Intervals and tests would be about another number than the one in the table.",
    )


def check_resampling(subject: MetricSubject) -> None:
    """On the whole set, and on two copies of it, `resampled` gives the metric's own numbers."""
    resampled = ask(subject.plugin, "resampled")
    if resampled is None:
        raise NotChecked("the metric has no method `resampled`")
    whole = subject.make(0.55, 3)
    value = subject.evaluate(whole, "evidence")
    weights = np.repeat(np.array([[1], [2]]), len(whole.ids), axis=1)
    with must(
        "resampled(evidence, weights R×N) to return R numbers, or some by name", "Intervals need them."
    ):
        given = resampled(whole, weights)
        found = dict(given) if isinstance(given, Mapping) else {"": given}
        columns = {key: np.asarray(column, float) for key, column in found.items()}
    for key, column in columns.items():
        own = next((v for name, v in value.items() if name in ("", key) or name.endswith(f".{key}")), None)
        expect(
            own is not None and column.shape == (2,) and np.allclose(column, own, rtol=1e-9, atol=1e-12),
            f"resampled to return the metric's own number, {format_numbers(value)}, where all samples count equally",
            " and ".join(f"{v:.6g}" for v in np.ravel(column)),
            "Intervals and tests would be about another number than the one in the table.",
        )


def check_purity(subject: MetricSubject) -> None:
    """Asked twice, the metric answers the same, and leaves the evidence as it was."""
    evidence = subject.make(0.55, 4)
    arrays = {k: v.copy() for k, v in vars(evidence).items() if isinstance(v, np.ndarray)}
    value = subject.evaluate(evidence, "evidence")
    subject.expect_same(value, evidence, "the same evidence again", "A table could not be reproduced.")
    changed = [k for k, v in arrays.items() if not np.array_equal(v, getattr(evidence, k), equal_nan=True)]
    expect(
        not changed,
        "the evidence as it was",
        f"other {', '.join(changed)} after the metric",
        "All metrics of a cell read the same evidence, one after another.",
    )


def check_odd_evidence(subject: MetricSubject) -> None:
    """On degenerate evidence the metric returns finite numbers, or says clearly why not."""
    if type(subject.make(0.7)) is not Predictions:
        raise NotChecked("the kit has degenerate evidence for Predictions only")
    for what, evidence in kit.make_odd_predictions().items():
        try:
            with np.errstate(all="ignore"):
                values = _name_numbers(subject.plugin(evidence))
        except HarnessError:
            continue
        except Exception as error:  # a plugin may raise anything
            raise Violation(
                f"a finite number, or a harness.DataError that says what is wrong, for {what}",
                describe_error(error),
                "The message is all that the user of a failed cell sees.",
            ) from error
        finite, why = all(map(math.isfinite, values.values())), "NaN in a record can't be ranked or averaged."
        expect(finite, f"a finite number, or a harness.DataError, for {what}", format_numbers(values), why)
