"""What is expected of a protocol and of a method: the same seed the same result, kills that cost nothing, no harm done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.contract.capability import members_of
from harness.contract.declared import ask
from harness.contract.targets import TARGET_KINDS
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse
from harness.errors import HarnessError
from harness.planning.expansion import find_refusal
from harness.testing import cells, general, runs
from harness.testing.outcome import Check, NotChecked, Violation, described, expect, must


class RunSubject:
    """A protocol or a method to be checked, in a small grid; `kind` is the plugin's."""

    def __init__(self, kind: str, given: cells.Given, cell: Mapping[str, Any] | None = None) -> None:
        self.kind, self.given, self.cell = kind, given, cell
        self._plugin: Any = None
        self._peaceful: runs.Outcome | Exception | None = None
        self._content: Mapping[str, Any] | None = None

    @property
    def plugin(self) -> Any:
        """The plugin's light object."""
        if self._plugin is None:
            self._plugin = _object(self.kind, self.given)
        return self._plugin

    @contextmanager
    def trial(self) -> Iterator[cells.Trial]:
        """The grid with the plugin in it."""
        with cells.named(self.kind, self.given) as reference:
            if self._content is None:
                find = cells.grid_of_method if self.kind == "methods" else cells.grid_of_protocol
                self._content = find(self.given, reference, self.cell)
            yield cells.Trial(self._content)

    def run(self, stop: int | None = None, seed: int = 0) -> runs.Outcome:
        """A run of the cell in a folder of its own, whose model is looked at before and after."""
        with self.trial() as trial, runs.folder() as place:
            return runs.run(trial, Path(place), stop, seed)

    @property
    def peaceful(self) -> runs.Outcome:
        """A run that nobody disturbs, made once; it has ended ok."""
        if self._peaceful is None:
            try:
                self._peaceful = runs.checked_ok(self.run())
            except Exception as error:
                self._peaceful = error
        if isinstance(self._peaceful, Exception):
            raise self._peaceful
        return self._peaceful


def _object(kind: str, given: cells.Given) -> Any:
    if not isinstance(given, str | Mapping):
        return given
    reference = parse(given, "the plugin under test")[0]
    if not reference.options and reference.value is None:
        small = cells.smallest_options(cells.factory_of(kind, given))
        reference = parse({"plugin": reference.plugin, "options": small}, "the plugin under test")[0]
    part = Resolver().resolve(kind, reference, "the plugin under test")
    if part.problem:
        raise Violation("a plugin that can be built", part.problem, "Nothing else can be asked of it.")
    return part.object


def check_runs(subject: RunSubject) -> None:
    """A small cell ends ok, with finite numbers and progress that makes sense."""
    import math

    outcome = subject.peaceful
    record = outcome.record
    bad = [name for name, value in record.metrics.items() if not math.isfinite(value)]
    expect(
        bool(record.metrics) and not bad,
        "the cell to give metrics, all of them finite",
        f"{', '.join(bad) or 'none'}",
        "Tables show them; NaN can't be ranked.",
    )
    wrong = [p for p in outcome.progress if not 0 <= p[0] <= p[1]]
    expect(
        not wrong,
        "job.advance(done, total) with done from 0 to total",
        f"{wrong[0] if wrong else ''}",
        "The progress display shows it.",
    )
    ids = outcome.samples.get("id")
    if ids is not None:
        expect(
            len(set(ids)) == len(ids),
            "one row per test sample, each with its own id",
            f"{len(ids) - len(set(ids))} ids more than once",
            "Paired tests bring two models' predictions together by the ids.",
        )


def check_same_seed(subject: RunSubject) -> None:
    """Run twice from nothing, a cell gives the same numbers."""
    found = runs.difference(subject.peaceful, runs.checked_ok(subject.run()))
    expect(
        found is None,
        "the same result from the same seed (draw from job.seed_for(…) or job.cell.seed)",
        found or "",
        "The record's id says that it can be had again, and it can't.",
    )


def check_continues_after_a_kill(subject: RunSubject) -> None:
    """Killed on the way and run again, a cell ends as if nobody had disturbed it."""
    whole = subject.peaceful
    if not whole.told:
        raise NotChecked(
            "the cell tells no progress (job.advance, job.report), so there is no step to be killed at"
        )
    # a method is killed half-way; a protocol, which has the checkpoints, early and late
    shares = (1 / 2,) if subject.kind == "methods" else (1 / 3, 2 / 3)
    for stop in sorted({max(1, round(whole.told * share)) for share in shares}):
        with subject.trial() as trial, runs.folder() as place:
            try:
                runs.run(trial, Path(place), stop)
            except runs.Killed:
                pass
            else:
                raise Violation(
                    "an interrupt to go through the plugin",
                    f"that the cell went on after being interrupted at step {stop}",
                    "Ctrl-C would not stop it: catch Exception, never BaseException.",
                )
            again = runs.run(trial, Path(place))
        found = runs.difference(whole, runs.checked_ok(again))
        expect(
            found is None,
            f"the undisturbed result after a kill at step {stop} of {whole.told}",
            found or "",
            "What a checkpoint in job.workdir leaves out (the optimiser, the order of samples, random "
            "generators, the step) makes the result depend on when the machine was switched off.",
        )


def check_leaves_the_model(subject: RunSubject) -> None:
    """What is frozen stays frozen: the shared model is afterwards what it was."""
    outcome = subject.peaceful
    if outcome.model is None:
        raise NotChecked("the cell has no model that exposes its module, or one of its own to change")
    before, after = outcome.model
    changed = [what for what in before if before[what] != after[what]]
    expect(
        not changed,
        "the model's module as it was before the cell (work on a copy, take hooks off again)",
        f"other {', '.join(changed)}",
        "The next cells get the same loaded model: their numbers would depend on what ran before.",
    )


def check_seeds_at_once(subject: RunSubject) -> None:
    """Seeds that run at once give what each gives alone."""
    with subject.trial() as trial, runs.folder() as place:
        together = trial.cells((0, 1))
        seeds_at_once = ask(together[0].protocol.object, "seeds_at_once")
        if seeds_at_once is None or len(together) < 2 or seeds_at_once(together[0]) < 2:
            raise NotChecked("the protocol runs one seed at a time")
        jobs = runs.worker(Path(place))
        many = [runs.Outcome(r) for r in jobs.run_group(together)]
    for seed, outcome in enumerate(many):
        alone = subject.peaceful if seed == 0 else runs.checked_ok(subject.run(seed=seed))
        wrong = {
            name: (value, outcome.record.metrics.get(name))
            for name, value in alone.record.metrics.items()
            if not _near(value, outcome.record.metrics.get(name))
        }
        expect(
            not wrong,
            f"seed {seed} to give the same beside another seed as alone",
            ", ".join(f"{n}: {b} beside, {a} alone" for n, (a, b) in wrong.items()),
            "How many seeds fit into memory would decide the result.",
        )


def _near(one: float, other: float | None) -> bool:
    # stacked networks sum in another order, and training carries that on
    return other is not None and abs(one - other) <= 1e-3 * max(abs(one), abs(other)) + 1e-6


def check_cannot(subject: RunSubject) -> None:
    """`cannot` answers for whatever parts it is asked about: None, or the reason in words."""
    protocol = subject.plugin
    if not (ask(protocol, "cannot") or ask(protocol, "needs")):
        raise NotChecked("the protocol has neither `cannot` nor `needs`: every cell is tried")
    with subject.trial() as trial:
        cell = trial.planned()[0].cell

    class Unknown:
        splits = ("something",)

        def load(self, *_: object) -> None:
            raise AssertionError("`cannot` loads: planning must not")

    given = {
        "the cell's own parts": (
            _light(cell.model),
            cell.dataset.object,
            _light(cell.method),
            dict(cell.axes),
        ),
        "no model and no method": (None, cell.dataset.object, None, {}),
        "a model of another kind": (Unknown(), cell.dataset.object, _light(cell.method), dict(cell.axes)),
        "a data set without the usual splits": (
            _light(cell.model),
            Unknown(),
            _light(cell.method),
            dict(cell.axes),
        ),
        "a method of another kind": (_light(cell.model), cell.dataset.object, Unknown(), dict(cell.axes)),
    }
    for what, parts in given.items():
        try:
            reason = find_refusal(protocol, type(protocol).__name__, *parts)
        except HarnessError as error:
            reason = str(error)
        except Exception as error:  # a plugin may raise anything
            raise Violation(
                f"cannot(…) to give None or a reason for {what}",
                described(error),
                "At planning the cell would count as broken, and nobody would know why.",
            ) from error
        expect(
            reason is None or (isinstance(reason, str) and bool(reason)),
            f"cannot(…) to give None or a reason for {what}",
            repr(reason),
            "The text stands in the table in place of a number.",
        )


def _light(part: Any) -> Any:
    return part.object if part else None


def check_declarations(subject: RunSubject) -> None:
    """What the protocol declares has the right form: evidence classes, axes, directions."""
    protocol = subject.plugin
    provided = ask(protocol, "provides")
    expect(
        provided is None or all(isinstance(c, type) for c in provided),
        "`provides` to be the evidence classes that metrics may ask for",
        repr(provided),
        "A suite whose metrics read something else is refused by it.",
    )
    needs, kinds = ask(protocol, "needs"), ask(protocol, "target_kinds")
    with must("`needs` to be a sequence of capabilities", "Planning skips models by it."):
        each = [members_of(need) for need in needs]
    expect(
        all(each),
        "`needs` to be a sequence of capabilities",
        repr(needs),
        "A protocol without members is had by every model.",
    )
    expect(
        not isinstance(kinds, str) and bool(kinds) and set(kinds) <= set(TARGET_KINDS),
        f"`target_kinds` to be some of {', '.join(TARGET_KINDS)}",
        repr(kinds),
        "Data sets of other kinds are skipped by it.",
    )
    axes = ask(protocol, "axes")
    expect(
        axes is None or (not isinstance(axes, str) and all(isinstance(a, str) for a in axes)),
        "`axes` to be a sequence of names",
        repr(axes),
        "An axis of a suite that is not among them is refused as a typing error.",
    )
    with must("`directions` to map names to True or False", "Tables mark the best by it."):
        directions = dict(ask(protocol, "directions"))
    expect(
        all(isinstance(v, bool) for v in directions.values()),
        "`directions` to map names to True or False",
        repr(directions),
        "Tables mark the best by it.",
    )
    metrics = subject.peaceful.record
    stated: Callable[[str], bool] = lambda name: name in metrics.directions  # noqa: E731
    expect(all(map(stated, metrics.metrics)), "a direction for every metric", "none", "Tables mark the best.")


RUN_CHECKS: tuple[Check, ...] = (
    check_runs,
    check_same_seed,
    check_continues_after_a_kill,
    check_leaves_the_model,
)

METHOD_CHECKS: tuple[Check, ...] = (*general.CHECKS, *RUN_CHECKS)

PROTOCOL_CHECKS: tuple[Check, ...] = (
    *general.CHECKS,
    check_declarations,
    check_cannot,
    *RUN_CHECKS,
    check_seeds_at_once,
)
