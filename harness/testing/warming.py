"""Check of a protocol that computes frozen features ahead of its run, on a worker that has no cell of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.cells import canonical_json
from harness.contract.declared import ask
from harness.testing.cell_runs import find_difference, make_worker, require_ok, run_cell, temporary_folder
from harness.testing.methods import RunSubject
from harness.testing.verdicts import NotChecked, expect, must

if TYPE_CHECKING:
    from harness.inference.features import FeatureCache


def check_warm(subject: RunSubject) -> None:
    """What `warm` computes ahead is what the run asks for, nothing else is written, and no number changes."""
    if ask(subject.plugin, "warm") is None:
        raise NotChecked("the protocol has no `warm`")
    undisturbed = subject.undisturbed
    with subject.trial() as trial, temporary_folder() as folder:
        place = Path(folder)
        cell = trial.pick_cells((0,))[0]
        ahead, later = Requests(), Requests()
        worker = make_worker(place)
        ahead.watch(worker)
        errors = _keep_errors(cell.protocol.object)
        done = worker.warm(cell)
        expected = "`warm(job)` to compute features, and raise nothing"
        why = "An idle worker calls it while the cell runs elsewhere."
        with must(expected, why):
            if errors:
                raise errors[0]
        expect(done, expected, "that the cell's job can't be built", why)
        written = sorted(path.name for path in (place / "store").rglob("*") if path.is_file())
        expect(
            not written,
            "`warm` to write nothing besides the feature cache",
            ", ".join(written),
            "The cell itself may run at the same time.",
        )
        if not ahead.asked:
            raise NotChecked("`warm` computes nothing for this cell")
        result = require_ok(run_cell(trial, place, change=later.watch))
    unasked = [what for key, what in ahead.computed.items() if key not in later.asked]
    expect(
        not unasked,
        "`warm` to compute what `run` asks for (the same `what`, split, rows and facts)",
        f"what `run` does not ask for: {'; '.join(unasked)}",
        "Idle workers would compute it for nothing.",
    )
    again = [what for key, what in later.computed.items() if key in ahead.asked]
    expect(
        not again,
        "`run` to find in the cache what `warm` computed",
        f"computed again: {'; '.join(again)}",
        "Warming would save nothing.",
    )
    found = find_difference(undisturbed, result)
    expect(
        found is None,
        "the same numbers after `warm` as without it",
        found,
        "Whether a worker happened to be idle would decide the result.",
    )


class Requests:
    """What a worker asks its feature cache for, and what is computed then: a short text by the request.

    What is kept in the course of another computation, such as its speed, does not count as computed.
    """

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        self.computed: dict[str, str] = {}
        self._inside = False

    def watch(self, worker: Any) -> None:
        """Note all requests of a worker from now on."""
        cache: FeatureCache = worker.cache
        get = cache.get

        def watched(decides: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
            from harness.inference.blocks import InBlocks

            key = canonical_json(decides)
            self.asked[key] = what = _describe(decides)
            if self._inside:
                return get(decides, compute)

            def noting(function: Callable[..., Any]) -> Callable[..., Any]:
                def noted(*given: Any) -> Any:
                    self.computed[key] = what
                    return function(*given)

                return noted

            self._inside = True
            try:
                if isinstance(compute, InBlocks):
                    return get(decides, replace(compute, compute=noting(compute.compute)))
                return get(decides, noting(compute))
            finally:
                self._inside = False

        cache.get = watched  # type: ignore[method-assign]


def _describe(decides: Mapping[str, Any]) -> str:
    known = ("model", "weights", "precision", "libraries", "images", "data")
    shown = {name: value for name, value in decides.items() if name not in known}
    return f"{json.dumps(shown, default=str):.200}"


def _keep_errors(protocol: Any) -> list[Exception]:
    """Return the list in which what the protocol's `warm` raises is kept, for a worker swallows it."""
    errors: list[Exception] = []
    original = protocol.warm

    def warm(job: Any) -> None:
        try:
            original(job)
        except Exception as error:
            errors.append(error)
            raise

    protocol.warm = warm
    return errors
