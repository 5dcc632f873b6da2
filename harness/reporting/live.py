"""A report that follows its store: made again where records have changed, in parts that have versions."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from harness.errors import HarnessError, StoreError, reason_of
from harness.records.store import Store
from harness.reporting.collect import SuiteView, collect_tables, find_known_suites
from harness.reporting.content import Content, Gallery, render_content
from harness.reporting.details import Pool, describe_record
from harness.reporting.index import RecordIndex
from harness.reporting.misses import choose_misses
from harness.reporting.origins import Origins
from harness.reporting.page import LIVE_SCRIPTS, RenderedPage, render_page
from harness.reporting.samples import Excerpts, spread_over_models
from harness.reporting.thumbnails import OpenSplits, Thumbnails
from harness.running.logs import cell_folder, read_curves
from harness.running.under_way import list_runs

log = logging.getLogger("harness")

LONGEST = 20.0
"""Seconds after which figures are drawn again even if records keep coming."""

CURVES_OF = 24
"""Running cells of one run whose curves are sent; the others are named."""

MISSES_FROM = 12
"""Records of a suite whose misses may be shown."""


@dataclass
class _Followed:
    """A suite as last collected: what it rested on, and whether its figures are older than its records."""

    view: SuiteView
    stamp: Any
    gallery: Gallery | None = None
    stale: bool = True
    drawn: float = 0.0


@dataclass(frozen=True)
class _Edition:
    """What readers see: never changed, but replaced as a whole by the next version."""

    version: int
    content: Content
    index: dict[str, Any]
    parts: dict[str, str] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    """The version in which each part became what it is."""
    index_changed: int = 1


class LiveReport:
    """The report on some suites of a store (None: on all, also those that come later).

    One thread calls `refresh`; any others call the rest at any time.

    Raises StoreError for a store without plans, or an unknown suite.
    """

    def __init__(self, store: Store, suites: Sequence[str] | None = None) -> None:
        find_known_suites(store, suites)
        self.store, self.suites = store, suites
        self.epoch = secrets.token_hex(4)
        self.problem = ""
        self._followed: dict[str, _Followed] = {}
        self._plans: dict[str, tuple[Any, list[str]]] = {}
        self._origins = Origins()
        self._seen: dict[str, tuple[int, int]] = {}
        self._splits = OpenSplits()
        self._opening = threading.Lock()
        self._curves: dict[str, tuple[Any, Any]] = {}
        self._edition: _Edition | None = None
        self.refresh()

    # --- following the store

    def refresh(self) -> bool:
        """Take in what has changed since the last call; if nothing has, draw the figures of one suite.

        Returns whether the page is another now. `problem` says what could not be taken in.
        """
        self._troubles: list[str] = []
        try:
            return self._refresh()
        finally:
            self.problem = "; ".join(self._troubles)

    def _refresh(self) -> bool:
        listing = self.store.listing()
        names = [n for n in self.store.suites() if self.suites is None or n in self.suites]
        stamps = {name: self._stamp(name, listing) for name in names}
        changed = [n for n in names if n in self._plans and self._stamp_of(n) != stamps[n]]
        gone = self._followed.keys() - set(names)
        for name in changed:
            self._collect(name, stamps[name])
        for name in gone:
            del self._followed[name]
        now = time.monotonic()
        stale = [n for n in names if n in self._followed and self._followed[n].stale]
        overdue = [n for n in stale if now - self._followed[n].drawn > LONGEST and self._edition]
        if stale and self._edition and not changed:
            self._draw(stale[0])
        elif overdue:
            self._draw(overdue[0])
        elif not changed and not gone:
            return False
        self._read_origins(listing)
        return self._publish([self._followed[n] for n in names if n in self._followed])

    def _stamp_of(self, name: str) -> Any:
        """Return what the suite was last collected from, or None if it never was."""
        return self._followed[name].stamp if name in self._followed else None

    def _stamp(self, name: str, listing: Mapping[str, tuple[int, int]]) -> Any:
        """Return what differs if the suite's plan or any of its records does."""
        try:
            found = (self.store.path / "suites" / f"{name}.json").stat()
            plan: Any = (found.st_mtime_ns, found.st_size)
        except OSError:
            plan = None
        if name not in self._plans or self._plans[name][0] != plan:
            try:
                cells = (self.store.open_manifest(name) or {}).get("cells", ())
            except StoreError as error:  # damaged: the page stays as it is, and says so
                self._troubles.append(str(error))
                return self._stamp_of(name)
            self._plans[name] = (plan, [cell["id"] for cell in cells])
        return (plan, tuple(listing.get(id) for id in self._plans[name][1]))

    def _collect(self, name: str, stamp: Any) -> None:
        before = self._followed.get(name)
        try:
            view = collect_tables(self.store, name)
        except HarnessError as error:  # the others are shown
            self._troubles.append(str(error))
            return
        if before:
            view.plots = before.view.plots
            self._followed[name] = replace(before, view=view, stamp=stamp, stale=True)
        else:
            self._followed[name] = _Followed(view, stamp)

    def _draw(self, name: str) -> None:
        """Draw a suite's figures, and choose its misses."""
        from harness.plotting.draw import draw_plots

        followed = self._followed[name]
        view = followed.view
        plots = draw_plots(view.suite, view.data, self.store)
        order = spread_over_models(*RecordIndex([view]).finished_cells(name))[:MISSES_FROM]
        pictures = Thumbnails(set(order), splits=self._splits)
        excerpts = Excerpts(self.store, pictures, set(order))
        found = {}
        with self._opening:
            for id in order:
                record = self.store.read(id)
                if record is not None and "samples" in record.files:
                    found[id] = excerpts.excerpt(record)
        followed.view = replace(view, plots=plots)
        followed.gallery = Gallery(choose_misses(found), pictures.pictures)
        followed.stale, followed.drawn = False, time.monotonic()

    def _read_origins(self, listing: Mapping[str, tuple[int, int]]) -> None:
        planned = {id for name in self._followed for id in self._plans[name][1]}
        for id in sorted(planned & listing.keys()):
            if self._seen.get(id) != listing[id]:
                self._seen[id] = listing[id]
                if (record := self.store.read(id)) is not None:
                    self._origins.add(record)

    def _publish(self, followed: Sequence[_Followed]) -> bool:
        """Make the next edition, unless it would be the same."""
        views = [each.view for each in followed]
        index = RecordIndex(views)
        galleries = {each.view.suite.name: each.gallery for each in followed if each.gallery}
        content = render_content(views, index, self._origins.render(index.ids), galleries)
        parts, data = content.parts(), index.to_dict()
        before = self._edition
        version = before.version + 1 if before else 1
        old, since = (before.parts, before.changed) if before else ({}, {})
        changed = {id: since[id] if old.get(id) == html else version for id, html in parts.items()}
        index_changed = before.index_changed if before and before.index == data else version
        if before and old.keys() == parts.keys() and version not in {*changed.values(), index_changed}:
            return False
        self._edition = _Edition(version, content, data, parts, changed, index_changed)
        return True

    # --- what readers get

    @property
    def _now(self) -> _Edition:
        assert self._edition is not None  # made by the constructor
        return self._edition

    def page(self) -> RenderedPage:
        """Return the whole page of the present version."""
        now = self._now
        data = {"index": now.index, "live": {"version": f"{self.epoch}.{now.version}"}}
        return render_page(now.content, data, self.store.path.resolve().name, LIVE_SCRIPTS, connects=True)

    def update(self, since: str) -> dict[str, Any]:
        """Return what has changed since a version, and what is under way.

        Everything has for a version of another server.
        """
        now = self._now
        epoch, _, text = since.partition(".")
        number = int(text) if epoch == self.epoch and text.isascii() and text.isdigit() else 0
        answer: dict[str, Any] = {
            "version": f"{self.epoch}.{now.version}",
            "runs": self._describe_runs(),
            "problem": self.problem,
        }
        if number != now.version:
            answer["title"] = now.content.title
            answer["layout"] = [[s.anchor, list(s.parts)] for s in now.content.sections]
            answer["parts"] = {id: now.parts[id] for id, version in now.changed.items() if version > number}
            if now.index_changed > number:
                answer["index"] = now.index
        return answer

    def detail(self, id: str) -> dict[str, Any] | None:
        """Return the details of a record, with the values and pictures that they number; None for an unknown one."""
        if id not in self._now.index["id"]:
            return None
        pool, pictures = Pool(), Thumbnails({id}, splits=self._splits)
        with self._opening:  # data sets are opened by one thread at a time
            record = self.store.read(id)
            detail = record and describe_record(record, Excerpts(self.store, pictures, {id}), pool)
        return {"detail": detail, "pool": pool.values, "pictures": pictures.pictures}

    def _describe_runs(self) -> list[dict[str, Any]]:
        """Return the runs of the page's suites with their cells, and the curves of these."""
        titles = {name: f.view.suite.title or name for name, f in list(self._followed.items())}
        runs = []
        for run in list_runs(self.store.path):
            if run.suite not in titles:
                continue
            cells = [
                asdict(cell) | {"curves": self._read_curves(cell.shown, cell.id) if n < CURVES_OF else {}}
                for n, cell in enumerate(run.cells)
            ]
            runs.append(asdict(run) | {"title": titles[run.suite], "cells": cells})
        return runs

    def _read_curves(self, shown: str, id: str) -> Any:
        """Return the curves of a running cell, read again only if its files have changed."""
        folder = cell_folder(self.store.path, shown, id)
        try:
            stamp = sorted((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in folder.glob("[!.]*.csv"))
        except OSError:  # replaced at this moment
            return self._curves.get(id, (None, {}))[1]
        if id not in self._curves or self._curves[id][0] != stamp:
            self._curves[id] = (stamp, read_curves(folder))
        return self._curves[id][1]


class Watcher(threading.Thread):
    """Refreshes a report until `stop`, pausing `pause` seconds, or as long as a refresh took."""

    def __init__(self, report: LiveReport, pause: float = 1.0) -> None:
        super().__init__(daemon=True, name="harness-serve")
        self.report, self.pause = report, pause
        self._stopped = threading.Event()

    def run(self) -> None:
        wait = self.pause
        while not self._stopped.wait(wait):
            start = time.monotonic()
            try:
                self.report.refresh()
            except Exception as error:  # the page stays as it is, and says so
                self.report.problem = reason_of(error)
                log.debug("the page can't be made", exc_info=True)
            wait = max(self.pause, time.monotonic() - start)

    def stop(self) -> None:
        """End the thread after the refresh under way."""
        self._stopped.set()
        self.join()


def encode(answer: Any) -> bytes:
    """Return an answer as JSON."""
    return orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS, default=str)
