"""Write the report: one HTML file that opens from disk and needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import orjson

from harness.records.files import write_bytes
from harness.records.store import Store
from harness.reporting.collect import NONE, Published, SuiteView, collect_views
from harness.reporting.content import Content, Gallery, render_content
from harness.reporting.index import RecordIndex

SCRIPTS = ("common.js", "boards.js", "explorer.js", "answers.js", "record.js", "links.js", "start.js")
"""The page's scripts in order; each may use definitions of those before it."""

LIVE_SCRIPTS = (*SCRIPTS[:-1], "curves.js", "live.js", SCRIPTS[-1])
"""Those of a page that a server keeps up to date."""


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
    published: Published = NONE,
    report_problem: Callable[[str], object] = lambda text: None,
) -> Path:
    """Write the report on these suites (None: all in the store) and return its path.

    `out` is the file, or a folder for report.html. Tables and plots of several suites are made by `processes`
    processes, which know installed plugins only; the page is the same. For `sample_records` records, spread
    over the suites and their models, it contains up to `samples` per-sample outputs, and for
    `thumbnail_records` of them up to `thumbnails` pictures, if the data set can be opened here. A table or
    plot that can't be made has its reason on the page, and `report_problem` is called with it. `published` are
    results to add to all tables and plots.

    Raises StoreError for an unknown suite or a store without records.
    """
    from harness.reporting.details import CHUNK, Pool, detail_chunks
    from harness.reporting.origins import Origins
    from harness.reporting.samples import Excerpts
    from harness.reporting.thumbnails import Thumbnails

    shown = collect_views(store, suites, processes, published)
    for problem in (problem for view in shown for problem in view.problem_lines):
        report_problem(problem)
    index, pool, origins = RecordIndex(shown), Pool(), Origins()
    order = spread_over_suites(shown, index)
    pictures = Thumbnails(set(order[:thumbnail_records]), thumbnails)
    excerpts = Excerpts(store, pictures, set(order[:sample_records]), samples)
    blocks = list(detail_chunks(store, index.ids, excerpts, pool, origins))
    data = {"index": {**index.to_dict(), "chunk": CHUNK}, "pool": pool.values, "pictures": pictures.pictures}
    data |= {f"details-{n}": block for n, block in enumerate(blocks)}
    galleries = _collect_galleries(shown, index, order, blocks, pictures.pictures)
    content = render_content(shown, index, origins.render(index.ids), galleries)
    target = out / "report.html" if out.is_dir() else out
    page = render_page(content, data, store.path.name, SCRIPTS)
    write_bytes(target, page.html.encode("utf-8", "replace"))
    return target


def spread_over_suites(views: Sequence[SuiteView], index: RecordIndex) -> list[str]:
    """Order the ids of finished cells so that the first few cover every suite, and every model of it."""
    from harness.reporting.samples import spread_over_models

    by_suite = [spread_over_models(*index.finished_cells(view.suite.name)) for view in views]
    turns = chain.from_iterable(zip_longest(*by_suite))
    return list(dict.fromkeys(id for id in turns if id is not None))


def _collect_galleries(
    views: Sequence[SuiteView],
    index: RecordIndex,
    order: Sequence[str],
    blocks: Sequence[Sequence[Any]],
    pictures: Sequence[str],
) -> dict[str, Gallery]:
    """Return the misses of each suite that has any with pictures."""
    from harness.reporting.misses import choose_misses

    details = list(chain.from_iterable(blocks))
    galleries = {}
    for view in views:
        name = view.suite.name
        own = [(id, details[index.place[name, id]]) for id in order if (name, id) in index.place]
        excerpts = {id: detail["samples"] for id, detail in own if detail and "samples" in detail}
        galleries[name] = Gallery(choose_misses(excerpts), pictures)
    return galleries


@dataclass(frozen=True)
class RenderedPage:
    """A page, and the policy under which its scripts may run."""

    html: str
    policy: str


def render_page(
    content: Content, data: dict[str, Any], store_name: str, scripts: Sequence[str], connects: bool = False
) -> RenderedPage:
    """Return the whole page; one that `connects` may ask its own server for more."""
    assets = files("harness.reporting") / "assets"
    style = (assets / "report.css").read_text(encoding="utf-8")
    texts = "\n".join((assets / name).read_text(encoding="utf-8") for name in scripts)
    script = f'"use strict";\n(() => {{\n{texts}}})();\n'
    # loads nothing, sends nothing but what `connects` allows, and runs only the script with this digest
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src 'unsafe-inline'; "
        f"style-src-elem '{_digest(style)}'; style-src-attr 'unsafe-inline'; img-src data:; "
        + ("connect-src 'self'; " if connects else "")
        + "base-uri 'none'; form-action 'none'"
    )
    sections = "\n".join(
        f'<section class="suite" id="{section.anchor}">{"".join(section.parts.values())}</section>'
        for section in content.sections
    )
    state = '<span id="live" role="status">connecting</span>' if connects else ""
    under_way = '<section class="under-way" id="under-way" hidden></section>' if connects else ""
    blocks = "".join(
        f'<script type="application/json" id="data-{name}">{embed_json(value)}</script>\n'
        for name, value in data.items()
    )
    title = escape(content.title)
    html = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the leaderboards</a>
<header class="top"><a class="brand" href="#overview">{title}</a>{content.nav}
<div class="switches">{state}
<button type="button" id="fold" aria-pressed="false">Fold tables</button>
<button type="button" id="intervals" aria-pressed="true">Intervals</button>
<button type="button" id="theme">Theme: system</button></div></header>
<main id="main" tabindex="-1">
{content.overview}
{under_way}
<div id="suites">
{sections}
</div>
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
    return RenderedPage(html, policy)


def _digest(text: str) -> str:
    """Return a text's digest as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def embed_json(value: Any) -> str:
    """Return JSON that is safe inside a `<script>` element."""
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
