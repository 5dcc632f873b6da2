"""Write the report: one HTML file that opens from disk and needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from harness.records.files import write_bytes
from harness.records.store import Store
from harness.reporting.boards import render_board
from harness.reporting.collect import SuiteView, collect_views
from harness.reporting.figures import render_figure
from harness.reporting.index import RecordIndex

SCRIPTS = ("common.js", "boards.js", "explorer.js", "record.js")
"""The page's scripts in order; each may use definitions of those before it."""


def write_report(
    store: Store,
    suites: Sequence[str] | None,
    out: Path,
    *,
    thumbnails: int = 24,
    thumbnail_records: int = 40,
    samples: int = 60,
    sample_records: int = 1000,
    processes: int = 1,
    report_problem: Callable[[str], object] = lambda text: None,
) -> Path:
    """Write the report on these suites (None: all in the store) and return its path.

    `out` is the file, or a folder for report.html. Tables and plots of several suites are made by `processes`
    processes, which know installed plugins only; the page is the same. For `sample_records` records, spread
    over the models, it contains up to `samples` per-sample outputs, and for `thumbnail_records` of them up to
    `thumbnails` pictures, if the data set can be opened here. A table or plot that can't be made has its
    reason on the page, and `report_problem` is called with it.

    Raises StoreError for an unknown suite or a store without records.
    """
    from harness.reporting.details import CHUNK, Pool, detail_chunks
    from harness.reporting.samples import Excerpts, spread_over_models
    from harness.reporting.thumbnails import Thumbnails

    shown = collect_views(store, suites, processes)
    for problem in (problem for view in shown for problem in view.problem_lines):
        report_problem(problem)
    index, pool = RecordIndex(shown), Pool()
    order = spread_over_models(*index.finished_cells())
    pictures = Thumbnails(set(order[:thumbnail_records]), thumbnails)
    excerpts = Excerpts(store, pictures, set(order[:sample_records]), samples)
    blocks = list(detail_chunks(store, index.ids, excerpts, pool))
    data = {"index": {**index.to_dict(), "chunk": CHUNK}, "pool": pool.values, "pictures": pictures.pictures}
    data |= {f"details-{n}": block for n, block in enumerate(blocks)}
    target = out / "report.html" if out.is_dir() else out
    write_bytes(target, render_page(shown, index, data, store.path.name).encode("utf-8", "replace"))
    return target


def render_page(shown: Sequence[SuiteView], index: RecordIndex, data: dict[str, Any], store_name: str) -> str:
    """Return the whole page as text."""
    assets = files("harness.reporting") / "assets"
    style = (assets / "report.css").read_text(encoding="utf-8")
    scripts = "\n".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{scripts}}})();\n'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # loads nothing, sends nothing, and runs only the script with this digest
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    titles = [v.suite.title or v.suite.name for v in shown]
    title = titles[0] if len(titles) == 1 else "Benchmark report"
    sections = "".join(render_section(view, n, index) for n, view in enumerate(shown))
    links = [f'<a href="#suite-{n}">{escape(t)}</a>' for n, t in enumerate(titles) if len(titles) > 1]
    nav = "".join([*links, '<a href="#records">Records</a>'])
    blocks = "".join(
        f'<script type="application/json" id="data-{name}">{embed_json(value)}</script>\n'
        for name, value in data.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the leaderboards</a>
<header class="top"><strong class="brand">{escape(title)}</strong><nav aria-label="Sections">{nav}</nav>
<div class="switches"><button type="button" id="intervals" aria-pressed="true">Intervals</button>
<button type="button" id="theme">Theme: system</button></div></header>
<main id="main" tabindex="-1">
{sections}
<section class="records" id="records"><h2>Records</h2>
<p class="caption">All records of this page, from the store <code>{escape(store_name)}</code>.
Open one for its metrics, cost, predictions and provenance.</p>
<noscript><p class="problem">Sorting, filtering and the records need JavaScript.</p></noscript>
<div id="explorer"></div></section>
</main>
<dialog id="dialog" aria-labelledby="dialog-title"><div class="bar"><button type="button" id="back" hidden>← Back</button>
<h2 id="dialog-title" tabindex="-1"></h2>
<button type="button" id="close" aria-label="Close">✕</button></div><div id="content" tabindex="0"></div></dialog>
{blocks}<script>{script}</script>
</body>
</html>
"""


def render_section(view: SuiteView, number: int, index: RecordIndex) -> str:
    """Return one suite's section: description, tables, plots, and cells without a result."""
    suite, name = view.suite, view.suite.name
    place = {id: n for (s, id), n in index.place.items() if s == name}
    words = ", ".join(f"{count} {status_text(status)}" for status, count in view.counts().items())
    cells = len(view.data)
    parts = [
        f'<section class="suite" id="suite-{number}"><h2>{escape(suite.title or name)}</h2>',
        f"<p>{escape(suite.description)}</p>" if suite.description else "",
        f'<p class="state">{cells} {"cell" if cells == 1 else "cells"}: {escape(words)}.</p>',
        *(f'<p class="problem">{escape(problem)}</p>' for problem in view.problems),
    ]
    if any(e.best for t in view.tables for r in t.rows for e in r.entries):
        parts.append(
            '<p class="key"><span class="best">Bold</span>: the best of its column or row. '
            '<span class="tied">Underlined</span>: not significantly worse than the best. '
            "Open a number to see the records behind it.</p>"
        )
    parts += [render_board(t, f"t{number}-{n}", place) for n, t in enumerate(view.tables)]
    parts += ['<div class="plots">'] if view.plots else []
    parts += [render_figure(p, f"p{number}-{n}") for n, p in enumerate(view.plots)]
    parts += ["</div>"] if view.plots else []
    parts += [render_failures(view, place), "</section>"]
    return "\n".join(p for p in parts if p)


def render_failures(view: SuiteView, place: dict[str, int]) -> str:
    """Return the cells without a result by status and reason, or nothing if there are none."""
    groups: dict[tuple[str, str], list[str]] = {}
    reasons = view.data["reason"] if "reason" in view.data else [None] * len(view.data)
    for id, status, reason in zip(view.data["id"], view.data["status"], reasons, strict=True):
        if status != "ok":
            groups.setdefault((status, reason if isinstance(reason, str) else ""), []).append(id)
    if not groups:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><span class="status {escape(status)}">{escape(status_text(status))}</span></th>'
        f'<td class="text reason">{escape(reason) or "–"}</td>'
        f'<td><button type="button" class="open" data-r="{" ".join(str(place[i]) for i in ids)}">{len(ids)}</button></td></tr>'
        for (status, reason), ids in groups.items()
    )
    return (
        '<section class="failures"><h3>Cells without a result</h3><div class="scroll" tabindex="0" role="region" '
        'aria-label="Cells without a result"><table><thead><tr><th scope="col">status</th><th scope="col">reason</th>'
        f'<th scope="col">cells</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def status_text(status: str) -> str:
    """Return a status as readers know it."""
    return {"oom": "out of memory", "missing": "not run yet"}.get(status, status)


def embed_json(value: Any) -> str:
    """Return JSON that is safe inside a `<script>` element."""
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
