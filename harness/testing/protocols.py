"""Checks of a protocol besides its runs: declarations, refusals, and seeds that run at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.contract.capability import list_capability_members
from harness.contract.declared import ask
from harness.contract.targets import TARGET_KINDS
from harness.errors import HarnessError
from harness.planning.expansion import find_refusal
from harness.testing.cell_runs import CellResult, make_worker, temporary_folder
from harness.testing.methods import RunSubject
from harness.testing.verdicts import NotChecked, Violation, describe_error, expect, must


def check_declarations(subject: RunSubject) -> None:
    """The protocol's declarations have the right form: evidence classes, axes, directions."""
    protocol = subject.plugin
    provided, needs, kinds, axes = (
        ask(protocol, name) for name in ("provides", "needs", "target_kinds", "axes")
    )
    expect(
        provided is None or all(isinstance(c, type) for c in provided),
        "`provides` to be the evidence classes that metrics may ask for",
        repr(provided),
        "A suite whose metrics read something else is refused by it.",
    )
    expected, why = "`needs` to be a sequence of capabilities", "Planning skips models by it."
    with must(expected, why):
        each = [list_capability_members(need) for need in needs]
    expect(all(each), expected, repr(needs), "Every model has a capability without members.")
    expect(
        not isinstance(kinds, str) and bool(kinds) and set(kinds) <= set(TARGET_KINDS),
        f"`target_kinds` to be some of {', '.join(TARGET_KINDS)}",
        repr(kinds),
        "Data sets of other kinds are skipped by it.",
    )
    expect(
        axes is None or (not isinstance(axes, str) and all(isinstance(a, str) for a in axes)),
        "`axes` to be a sequence of names",
        repr(axes),
        "An axis of a suite that is not among them is refused as a typing error.",
    )
    expected, why = "`directions` to map names to True or False", "Tables mark the best by it."
    with must(expected, why):
        directions = dict(ask(protocol, "directions"))
    expect(all(isinstance(v, bool) for v in directions.values()), expected, repr(directions), why)
    record = subject.undisturbed.record
    expect(record.metrics.keys() <= record.directions.keys(), "a direction for every metric", "none", why)


def check_cannot(subject: RunSubject) -> None:
    """`cannot` answers for whatever parts it is asked about: None, or a reason."""
    protocol = subject.plugin
    if not (ask(protocol, "cannot") or ask(protocol, "needs")):
        raise NotChecked("the protocol has neither `cannot` nor `needs`: every cell is tried")
    with subject.trial() as trial:
        cell = trial.plan()[0].cell

    class Unknown:
        splits = ("something",)

        def load(self, *_: object) -> None:
            raise AssertionError("`cannot` loads: planning must not")

    model, method = (part.object if part else None for part in (cell.model, cell.method))
    dataset, axes = cell.dataset.object, dict(cell.axes)
    questions: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
        "the cell's own parts": (model, dataset, method, axes),
        "no model and no method": (None, dataset, None, {}),
        "a model of another kind": (Unknown(), dataset, method, axes),
        "a data set without the usual splits": (model, Unknown(), method, axes),
        "a method of another kind": (model, dataset, Unknown(), axes),
    }
    for what, parts in questions.items():
        expected = f"cannot(…) to return None or a reason for {what}"
        try:
            reason = find_refusal(protocol, type(protocol).__name__, *parts)
        except HarnessError as error:
            reason = str(error)
        except Exception as error:  # a plugin may raise anything
            why = "At planning the cell would count as broken, and nobody would know why."
            raise Violation(expected, describe_error(error), why) from error
        is_reason = reason is None or (isinstance(reason, str) and bool(reason))
        expect(is_reason, expected, repr(reason), "Tables show the text in place of a number.")


def check_seeds_at_once(subject: RunSubject) -> None:
    """A seed has the same result beside other seeds as alone."""
    with subject.trial() as trial, temporary_folder() as place:
        cells = trial.pick_cells((0, 1))
        count_seeds = ask(cells[0].protocol.object, "seeds_at_once")
        if count_seeds is None or len(cells) < 2 or count_seeds(cells[0]) < 2:
            raise NotChecked("the protocol runs one seed at a time")
        together = [CellResult(record) for record in make_worker(Path(place)).run_group(cells)]
    for seed, result in enumerate(together):
        alone = (subject.undisturbed if seed == 0 else subject.run(seed)).record.metrics
        beside = result.record.metrics
        wrong = [name for name, value in alone.items() if not _is_near(value, beside.get(name))]
        expect(
            not wrong,
            f"seed {seed} to give the same beside another seed as alone",
            ", ".join(f"{name}: {beside.get(name)} beside, {alone[name]} alone" for name in wrong),
            "How many seeds fit into memory would decide the result.",
        )


def _is_near(one: float, other: float | None) -> bool:
    # stacked networks sum in another order, and training carries that on
    return other is not None and abs(one - other) <= 1e-3 * max(abs(one), abs(other)) + 1e-6
