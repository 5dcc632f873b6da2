"""What stands on a page: its summary, and for each suite the parts that can be replaced one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from harness.reporting.anchors import Anchors
from harness.reporting.boards import render_board
from harness.reporting.collect import SuiteView
from harness.reporting.figures import render_figure
from harness.reporting.headlines import render_headline
from harness.reporting.index import RecordIndex
from harness.reporting.misses import Miss, render_misses


@dataclass
class Section:
    """A suite on the page: its element's id, its title, and the HTML of its parts by their elements' ids."""

    anchor: str
    title: str
    parts: dict[str, str] = field(default_factory=dict)


@dataclass
class Content:
    """The page without its data and scripts: everything in it is HTML."""

    title: str
    nav: str
    overview: str
    sections: list[Section]

    def parts(self) -> dict[str, str]:
        """Return the HTML of all parts by the ids of their elements."""
        shared = {"nav": self.nav, "overview": self.overview}
        return shared | {id: html for section in self.sections for id, html in section.parts.items()}


@dataclass(frozen=True)
class Gallery:
    """Misses of a suite, and the pictures that they number."""

    misses: Sequence[Miss]
    pictures: Sequence[str]


def render_content(
    views: Sequence[SuiteView], index: RecordIndex, origins: str, galleries: Mapping[str, Gallery]
) -> Content:
    """Return the content of a page. `origins` is HTML; `galleries` are by the suites' names."""
    anchors = Anchors()
    sections, links, rows = [], [], []
    for view in views:
        section, contents = _render_section(view, index, galleries.get(view.suite.name), anchors)
        sections.append(section)
        rows.append(_render_summary(view, section, contents))
        if len(views) > 1:
            links.append(f'<a href="#{section.anchor}">{escape(section.title)}</a>')
    title = sections[0].title if len(sections) == 1 else "Benchmark report"
    nav = "".join([*links, '<a href="#records">Records</a>'])
    overview = (
        f'<section class="overview" id="overview"><h1>{escape(title)}</h1>{origins}'
        f'<nav class="contents" aria-label="Contents">{"".join(rows)}</nav></section>'
    )
    return Content(title, f'<nav id="nav" aria-label="Sections">{nav}</nav>', overview, sections)


def _render_section(
    view: SuiteView, index: RecordIndex, gallery: Gallery | None, anchors: Anchors
) -> tuple[Section, list[tuple[str, str]]]:
    """Return a suite's section, and the ids and titles of what its contents list."""
    suite, name = view.suite, view.suite.name
    place = {id: n for (s, id), n in index.place.items() if s == name}
    section = Section(anchors.make("suite", name), suite.title or name)
    contents: list[tuple[str, str]] = []
    section.parts[f"{section.anchor}-head"] = _render_head(view, section)
    for table in view.tables:
        anchor = anchors.make("table", name, table.name)
        section.parts[anchor] = render_board(table, anchor, place)
        contents.append((anchor, table.title))
    figures = []
    for plot in view.plots:
        anchor = anchors.make("plot", name, plot.name)
        figures.append(render_figure(plot, anchor))
        contents.append((anchor, plot.title))
    if figures:
        anchor = anchors.make("plots", name)
        section.parts[anchor] = f'<div class="plots" id="{anchor}">{"".join(figures)}</div>'
    if gallery is not None and gallery.misses:
        anchor = anchors.make("misses", name)
        described = {m.id: index.describe(place[m.id]) for m in gallery.misses if m.id in place}
        section.parts[anchor] = render_misses(gallery.misses, gallery.pictures, described, anchor)
        contents.append((anchor, "Misses"))
    anchor = anchors.make("without-result", name)
    if failures := render_failures(view, place, anchor):
        section.parts[anchor] = failures
        contents.append((anchor, "Cells without a result"))
    return section, contents


def _render_head(view: SuiteView, section: Section) -> str:
    suite = view.suite
    parts = [
        f'<div class="head" id="{section.anchor}-head"><h2>{escape(section.title)}</h2>',
        f"<p>{escape(suite.description)}</p>" if suite.description else "",
        f'<p class="state">{escape(_count_cells(view))}</p>',
        *(f'<p class="problem">{escape(problem)}</p>' for problem in view.problems),
    ]
    if any(e.best for t in view.tables for r in t.rows for e in r.entries):
        parts.append(
            '<p class="key"><span class="best">Bold</span>: the best of its column or row. '
            '<span class="tied">Underlined</span>: not significantly worse than the best. '
            "Open a number to see the records behind it.</p>"
        )
    if any(row.published for table in view.tables for row in table.rows):
        parts.append(
            '<p class="key"><em>Italic</em>: published by others, not measured here and never marked.</p>'
        )
    return "\n".join(part for part in [*parts, "</div>"] if part)


def _count_cells(view: SuiteView) -> str:
    cells = len(view.data)
    words = ", ".join(f"{count} {status_text(status)}" for status, count in view.counts().items())
    return f"{cells} {'cell' if cells == 1 else 'cells'}: {words}."


def _render_summary(view: SuiteView, section: Section, contents: Sequence[tuple[str, str]]) -> str:
    """Return a suite's entry in the contents: cells by status, headline, and links to all that it has."""
    counts, cells = view.counts(), len(view.data)
    shares = "".join(
        f'<span class="{escape(_status_class(status))}" style="flex-grow:{count}"></span>'
        for status, count in counts.items()
    )
    links = "".join(f'<li><a href="#{anchor}">{escape(title)}</a></li>' for anchor, title in contents)
    headline = render_headline(view.tables)
    return (
        f'<div class="entry"><div><p class="name"><a href="#{section.anchor}">{escape(section.title)}</a></p>'
        + (f'<p class="headline">{headline}</p>' if headline else "")
        + "</div><div>"
        + (f'<div class="shares" aria-hidden="true">{shares}</div>' if cells else "")
        + f'<p class="state">{escape(_count_cells(view))}</p></div>'
        + (
            f"<details><summary>{escape(_count_contents(view))}</summary><ul>{links}</ul></details>"
            if links
            else ""
        )
        + "</div>"
    )


def _count_contents(view: SuiteView) -> str:
    """Return what the list of contents has, such as `3 tables, 1 figure`."""
    counts = ((len(view.tables), "table"), (len(view.plots), "figure"))
    shown = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    return ", ".join(shown) or "Contents"


def _status_class(status: str) -> str:
    return status if status.isascii() and status.isalpha() else "other"


def render_failures(view: SuiteView, place: Mapping[str, int], anchor: str) -> str:
    """Return the cells without a result by status and reason, or nothing if there are none."""
    groups: dict[tuple[str, str], list[str]] = {}
    reasons = view.data["reason"] if "reason" in view.data else [None] * len(view.data)
    for id, status, reason in zip(view.data["id"], view.data["status"], reasons, strict=True):
        if status != "ok":
            groups.setdefault((status, reason if isinstance(reason, str) else ""), []).append(id)
    if not groups:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><span class="status {escape(_status_class(status))}">{escape(status_text(status))}</span></th>'
        f'<td class="text reason">{escape(reason) or "–"}</td>'
        f'<td><button type="button" class="open" data-r="{" ".join(str(place[i]) for i in ids)}">{len(ids)}</button></td></tr>'
        for (status, reason), ids in groups.items()
    )
    return (
        f'<details class="failures" id="{anchor}" open><summary><h3>Cells without a result</h3></summary>'
        '<div class="scroll" tabindex="0" role="region" '
        'aria-label="Cells without a result"><table><thead><tr><th scope="col">status</th><th scope="col">reason</th>'
        f'<th scope="col">cells</th></tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def status_text(status: str) -> str:
    """Return a status as readers know it."""
    return {"oom": "out of memory", "missing": "not run yet"}.get(status, status)
