"""`harness plan`: show what a run would do, without loading a model or a sample."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.cli.common import (
    add_suite_arguments,
    data_settings,
    load_suites,
    open_store,
    parse_choice,
    print_json,
    redirect_prints,
)

if TYPE_CHECKING:
    from harness.planning.plan import Plan
    from harness.records.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_suite_arguments(parser)
    parser.add_argument("--fresh", action="store_true", help="plan as if nothing had been run")
    parser.add_argument("--all", action="store_true", help="show every cell, not only those to run")


def _find_kept(plans: Sequence[Plan], store: Store) -> dict[str, str]:
    """Return the cells to run that ran with other metrics: why no evidence was kept, or an empty text if it was."""
    found = {}
    for cell in (p.cell for plan in plans for p in plan if p.state == "run"):
        if (kept := store.find_evidence(cell.evidence_id)) is not None:
            found[cell.id] = kept[0].missing or ""
    return found


def main(given: argparse.Namespace) -> int:
    """Print the cells by state; skipped ones with their reason."""
    from harness.planning.plan import make_plan

    store = open_store(given)
    done = set() if given.fresh else store.done()
    with redirect_prints(given), data_settings(given):
        plans = [make_plan(suite, parse_choice(given), done) for suite in load_suites(given)]
    kept = {} if given.fresh else _find_kept(plans, store)
    if given.json:
        answers = []
        for plan in plans:
            cells = [
                {"id": p.cell.id, "state": p.state, "reason": p.reason, **p.cell.coordinates}
                | ({"from_evidence": True} if kept.get(p.cell.id) == "" else {})
                for p in plan
            ]
            facts = {"suite": plan.suite.name, "counts": plan.counts(), "remarks": plan.remarks}
            answers.append({**facts, "cells": cells})
        print_json(answers)
        return 0
    for plan in plans:
        counts = plan.counts()
        words = {"run": "to run", "done": "done", "skipped": "skipped", "broken": "can't run"}
        states = ", ".join(f"{counts[s]} {w}" for s, w in words.items() if s in counts)
        print(f"{plan.suite.name}: {len(plan)} cells: {states}")
        own = [kept[p.cell.id] for p in plan if p.cell.id in kept]
        if without := own.count(""):
            print(f"  of these, {without} are measured from kept evidence: no model is run")
        for why, count in Counter(filter(None, own)).items():
            print(f"  of these, {count} ran with other metrics and run again: no evidence was kept: {why}")
        shown = [p for p in plan if p.state == "run" or given.all]
        limit = len(shown) if given.all else 40
        for p in shown[:limit]:
            print(f"  {words[p.state]:<9} {p.cell.id[:8]}  {p.cell.shown}")
        if len(shown) > limit:
            print(f"  … and {len(shown) - limit} more (--all shows them)")
        for text in plan.remarks:
            print(f"  note      {text}")
        reasons = Counter((p.state, p.reason) for p in plan if p.state in ("skipped", "broken"))
        most = len(reasons) if given.all else 8
        for (state, reason), count in reasons.most_common(most):
            print(f"  {words[state]:<9} {count} × {reason}")
        if len(reasons) > most:
            total = f"{sum(reasons.values())} that do not run in all, for {len(reasons)} reasons"
            print(f"  … and {total} (--all shows them)")
    return 0
