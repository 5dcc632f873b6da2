"""What is expected of a metric: known values, no regard for order, its direction and range, and clear errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from harness.contract.declared import ask
from harness.contract.evidence import Predictions
from harness.errors import HarnessError
from harness.planning.matching import find_read_classes
from harness.testing import evidence as kit
from harness.testing import general
from harness.testing.outcome import Check, NotChecked, Violation, described, expect, must

CLOSE = {"rel_tol": 1e-6, "abs_tol": 1e-9}


class MetricSubject:
    """A metric to be checked, known values, and how to make evidence for it."""

    def __init__(
        self, plugin: Any, examples: Sequence[tuple[Any, Any]] | None = None, make: kit.Make | None = None
    ) -> None:
        self.plugin = plugin
        self.examples = list(examples if examples is not None else ask(plugin, "examples"))
        self._make = make

    def make(self, quality: float, seed: int = 0) -> Any:
        """Evidence of a quality from 0 (all wrong) to 1 (perfect).

        Raises NotChecked when the metric reads evidence that the kit can't make.
        """
        if self._make is not None:
            return self._make(quality, seed)
        with must("the class of its evidence, from its argument's annotation or `reads`", "Planning asks."):
            read = find_read_classes(self.plugin) or (Predictions,)
        if Predictions in read:
            return kit.predictions(quality, seed, self._classes)
        if example := next(filter(None, (ask(kind, "example") for kind in read)), None):
            return example(quality, seed)
        name = " or ".join(kind.__name__ for kind in read)
        raise NotChecked(
            f"the metric reads {name}, which the kit can't make: give {name} a class method "
            "`example(quality, seed)`, or the test a fixture `make_evidence`"
        )

    @cached_property
    def _classes(self) -> int:
        """Ten classes, or two for a metric that says that it takes no more."""
        try:
            self.plugin(kit.predictions(0.7, 0))
        except HarnessError:
            return 2
        except Exception:  # whatever it is, the checks will say
            pass
        return kit.CLASSES

    def values(self, evidence: Any, what: str) -> dict[str, float]:
        """What the metric says, as numbers by name (one number has the name "")."""
        with must(f"a number for {what}", "A cell fails whose metric raises."):
            given = self.plugin(evidence)
        named = given if isinstance(given, Mapping) else {"": given}
        with must("a number, or numbers by name", "Records hold numbers only."):
            return {str(name): float(value) for name, value in named.items()}


def same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether two answers are equal, to floating point."""
    return one.keys() == other.keys() and all(math.isclose(one[k], other[k], **CLOSE) for k in one)


def shown(values: Mapping[str, float]) -> str:
    """An answer in short."""
    return ", ".join(f"{name} {value:.6g}".strip() for name, value in values.items())


def check_known_values(subject: MetricSubject) -> None:
    """The metric gives the values that are known for its examples."""
    if not subject.examples:
        raise NotChecked("no known values: give the class, or the test, `examples` of (evidence, value)")
    for number, (evidence, value) in enumerate(subject.examples):
        expected = value if isinstance(value, Mapping) else {"": value}
        found = subject.values(evidence, f"example {number}")
        wrong = {
            k: v
            for k, v in expected.items()
            if not math.isclose(found.get(k, math.nan), v, rel_tol=1e-6, abs_tol=1e-7)
        }
        expect(
            not wrong,
            f"{shown({k: float(v) for k, v in wrong.items()})} for example {number}",
            shown(found),
            "The value is known from the definition: the formula is another one.",
        )


def check_direction(subject: MetricSubject) -> None:
    """Better evidence does not get a worse value, and perfect evidence a better one than all wrong."""
    better = ask(subject.plugin, "higher_is_better")
    expect(
        isinstance(better, bool),
        "`higher_is_better` to be True or False",
        repr(better),
        "Tables mark the best by it.",
    )
    sign = 1 if better else -1
    perfect, guessed, wrong = (
        subject.values(subject.make(q), f"evidence of quality {q}") for q in (1.0, 0.5, 0.0)
    )
    told_apart = False
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
        told_apart = told_apart or best > worst + slack
    expect(
        told_apart or not perfect,
        "perfect evidence to get a better value than evidence that is all wrong",
        f"{shown(perfect)} for both",
        "What can't tell these two apart measures nothing.",
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
        expect(
            lowest >= -1 and highest <= 1,
            "the bounds of a fraction to lie in [−1, 1]",
            repr(bounds),
            "Tables show fractions in percent.",
        )
    for quality in (0.0, 0.3, 0.5, 0.8, 1.0):
        values = subject.values(subject.make(quality), f"evidence of quality {quality}")
        outside = {k: v for k, v in values.items() if not lowest - 1e-9 <= v <= highest + 1e-9}
        expect(
            not outside,
            f"values from {lowest:g} to {highest:g}, as `bounds` declares",
            f"{shown(outside)} for evidence of quality {quality}",
            "Plots and intervals are cut at the bounds; percent instead of a fraction is the usual reason.",
        )


def check_order_invariance(subject: MetricSubject) -> None:
    """The order of the samples does not matter."""
    whole = subject.make(0.55, 1)
    turned = kit.shuffled(whole, 5)
    if turned is None:
        raise NotChecked("the evidence can't be put in another order")
    one, other = subject.values(whole, "evidence"), subject.values(turned, "the same in another order")
    expect(
        same(one, other),
        f"the same value for the same samples in another order, {shown(one)}",
        shown(other),
        "The order comes from how a data set lists its files; it is no fact about the model.",
    )


def check_merging(subject: MetricSubject) -> None:
    """Evidence put together from parts gives what the whole gives; values per sample average to it."""
    whole = subject.make(0.55, 2)
    if not isinstance(whole, Predictions):
        raise NotChecked("only Predictions are put together from parts")
    rows = np.arange(len(whole))
    parts = [kit.taken(whole, rows[a:b]) for a, b in ((0, 10), (10, 11), (11, 150), (150, len(whole)))]
    one = subject.values(whole, "the whole")
    merged = subject.values(Predictions.concat(parts), "parts put together")
    expect(
        same(one, merged),
        f"parts put together to give the whole's value, {shown(one)}",
        shown(merged),
        "Evidence is gathered batch by batch: the batch size would decide the result.",
    )
    _check_per_sample(subject, whole, parts, one)


def _check_per_sample(
    subject: MetricSubject, whole: Predictions, parts: Sequence[Predictions], value: Mapping[str, float]
) -> None:
    per_sample = ask(subject.plugin, "per_sample")
    if per_sample is None:
        return
    with must("per_sample(evidence) to give one number per sample", "Paired tests and intervals rest on it."):
        values = np.asarray(per_sample(whole), dtype=float)
        in_parts = np.concatenate([np.asarray(per_sample(p), dtype=float) for p in parts])
    expect(
        values.shape == (len(whole),) and np.allclose(values, in_parts, rtol=1e-6),
        "per_sample to give each of N samples a number of its own, whatever stands beside it",
        f"shape {values.shape}" if values.shape != (len(whole),) else "others for parts of the samples",
        "Bootstrap intervals draw samples: their values must not depend on the others.",
    )
    mean = float(values.mean())
    expect(
        len(value) == 1 and math.isclose(mean, next(iter(value.values())), rel_tol=1e-6, abs_tol=1e-9),
        f"the mean of per_sample to be the metric's value, {shown(value)}",
        f"{mean:.6g}",
        "Intervals and tests would be about another number than the one in the table.",
    )


def check_purity(subject: MetricSubject) -> None:
    """Asked twice, the metric gives the same, and leaves the evidence as it was."""
    evidence = subject.make(0.55, 4)
    arrays = {k: v.copy() for k, v in vars(evidence).items() if isinstance(v, np.ndarray)}
    one, other = subject.values(evidence, "evidence"), subject.values(evidence, "the same evidence again")
    expect(
        same(one, other),
        f"the same value twice, {shown(one)}",
        shown(other),
        "A table could not be had again.",
    )
    changed = [k for k, v in arrays.items() if not np.array_equal(v, getattr(evidence, k), equal_nan=True)]
    expect(
        not changed,
        "the evidence as it was",
        f"other {', '.join(changed)} after the metric",
        "All metrics of a cell read the same evidence, one after another.",
    )


def check_odd_evidence(subject: MetricSubject) -> None:
    """On degenerate evidence the metric gives finite numbers, or says clearly why not."""
    if not isinstance(subject.make(0.7), Predictions):
        raise NotChecked("the kit has degenerate evidence for Predictions only")
    for what, evidence in {**kit.degenerate(), **kit.refused()}.items():
        try:
            with np.errstate(all="ignore"):
                given = subject.plugin(evidence)
            named = given if isinstance(given, Mapping) else {"": given}
            values = {str(k): float(v) for k, v in named.items()}
        except HarnessError:
            continue
        except Exception as error:  # a plugin may raise anything
            raise Violation(
                f"a finite number, or a harness.DataError that says what is wrong, for {what}",
                described(error),
                "The message is all that the user of a failed cell sees.",
            ) from error
        expect(
            all(map(math.isfinite, values.values())),
            f"a finite number, or a harness.DataError, for {what}",
            shown(values),
            "NaN in a record can't be ranked, averaged or compared.",
        )


CHECKS: tuple[Check, ...] = (
    *general.CHECKS,
    check_known_values,
    check_direction,
    check_range,
    check_order_invariance,
    check_merging,
    check_purity,
    check_odd_evidence,
)
