"""Leaderboards in the page's HTML: sortable headers, and a button on every number with records."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import pairwise

from harness.leaderboard.entries import DASH, Column, Row, TableValue, format_interval, format_value
from harness.leaderboard.layout import footnote_marks
from harness.leaderboard.table import Table

SHOWN = 200
"""Rows shown initially; a button shows the others."""


def render_board(table: Table, anchor: str, place: Mapping[str, int]) -> str:
    """Return a table that can be folded. `place` maps record ids to their numbers on the page."""
    body, group = [], None
    for n, row in enumerate(table.rows):
        if n == 0 or row.group != group:
            group = row.group
            body.append("</tbody><tbody>" if n else "<tbody>")
            if group:
                span = f'colspan="{len(table.row_names) + len(table.columns)}" scope="rowgroup"'
                body.append(f'<tr class="group"><th {span}><span>{escape(group)}</span></th></tr>')
        body.append(_render_row(row, table, place, hidden=n >= SHOWN))
    body.append("</tbody>" if table.rows else "<tbody></tbody>")
    title, more = escape(table.title), ""
    if len(table.rows) > SHOWN:
        more = f'<button type="button" class="all">Show all {len(table.rows)} rows</button>'
    tools = (
        f'<div class="tools"><label>Filter rows <input type="search" autocomplete="off" spellcheck="false"></label>'
        f'<span class="found" role="status">{_count_rows(len(table.rows))}</span>{more}</div>'
    )
    notes = "".join(f"<li>{escape(text)}</li>" for text in table.footnotes)
    return (
        f'<details class="board" id="{escape(anchor)}" data-shown="{SHOWN}" open>'
        f'<summary><h3 id="{escape(anchor)}-title">{title}</h3></summary>'
        + (f'<p class="caption">{escape(table.caption)}</p>' if table.caption else "")
        + tools
        + f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{escape(anchor)}-title">'
        + f'<table aria-labelledby="{escape(anchor)}-title"><thead>{render_head(table)}</thead>{"".join(body)}</table></div>'
        + (f'<ol class="notes">{notes}</ol>' if notes else "")
        + "</details>"
    )


def render_head(table: Table) -> str:
    """Return the header rows; the lowest cell of each column sorts by it."""
    headers = _trim_headers(table)
    depths = [len(h) for h in headers]
    layers = max(depths, default=1)
    rows = []
    for layer in range(layers):
        cells = []
        if layer == 0:
            named = zip(table.row_titles, table.row_names, strict=True)
            cells = [_sort_header(title, name, n, layers, "asc", "") for n, (title, name) in enumerate(named)]
        n = 0
        while n < len(table.columns):
            column = table.columns[n]
            if depths[n] - 1 < layer:
                n += 1
            elif depths[n] - 1 == layer:
                first = "asc" if column.higher_is_better is False else "desc"
                hint = {True: "higher is better", False: "lower is better", None: ""}[column.higher_is_better]
                text, at = headers[n][layer] or column.metric, len(table.row_names) + n
                key = "\x1f".join(headers[n])
                cells.append(_sort_header(text, key, at, layers - layer, first, hint, "value"))
                n += 1
            else:
                end, same = n + 1, headers[n][: layer + 1]
                while end < len(depths) and depths[end] - 1 > layer and headers[end][: layer + 1] == same:
                    end += 1
                text = f"<span>{escape(headers[n][layer])}</span>"
                cells.append(f'<th scope="colgroup" colspan="{end - n}" class="over">{text}</th>')
                n = end
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return "".join(rows)


def _trim_headers(table: Table) -> list[tuple[str, ...]]:
    """Return each column's header as people read it, without arrows, and without empty layers at its end.

    A column followed by others below its own header (its differences) becomes the first of them.
    """
    headers = []
    for column in table.columns:
        # the page draws arrows itself
        shown = tuple(text.removesuffix(" ↑").removesuffix(" ↓") for text in table.show_header(column))
        depth = max((n for n, text in enumerate(shown, 1) if text), default=1)
        headers.append(shown[:depth])
    for n, (header, following) in enumerate(pairwise(list(headers))):
        if len(following) > len(header) and following[: len(header)] == header:
            headers[n] = (*header, *["value"] * (len(following) - len(header)))
    return headers


def _sort_header(text: str, key: str, at: int, rowspan: int, first: str, hint: str, kind: str = "") -> str:
    """Return a header that sorts by column `at`; `key` names it on a page whose columns change."""
    arrow = {"higher is better": "↑", "lower is better": "↓"}.get(hint, "")
    label = f'title="{hint}" aria-label="{hint}" role="img"'
    shown = f' <span class="hint" {label}>{arrow}</span>' if arrow else ""
    span = f' rowspan="{rowspan}"' if rowspan > 1 else ""
    style = f' class="{kind}"' if kind else ""
    return (
        f'<th scope="col"{span}{style} data-at="{at}" data-key="{escape(key)}" data-first="{first}">'
        f'<button type="button" class="sort"><span>{escape(text) or "value"}</span>{shown}</button></th>'
    )


def _render_row(row: Row, table: Table, place: Mapping[str, int], hidden: bool) -> str:
    cells = [f'<th scope="row">{render_name(h)}</th>' for h in table.show_labels(row)] or [
        '<th scope="row"></th>'
    ]
    if not table.row_names:
        cells = []
    cells += [_render_cell(e, c, place) for e, c in zip(row.entries, table.columns, strict=True)]
    attributes = (' class="published"' if row.published else "") + (" hidden" if hidden else "")
    return f"<tr{attributes}>{''.join(cells)}</tr>"


def render_name(text: str) -> str:
    """Return a possibly very long name: the page cuts it, its tooltip shows it whole."""
    title = f' title="{escape(text)}"' if len(text) > 40 else ""
    return f'<span class="name"{title}>{escape(text)}</span>'


def _render_cell(entry: TableValue, column: Column, place: Mapping[str, int]) -> str:
    records = [place[id] for id in dict.fromkeys(entry.records) if id in place]
    notes = f"<sup>{footnote_marks(entry.notes)}</sup>" if entry.notes else ""
    if entry.value is None:
        text, kind = DASH, "none"
    else:
        text = escape(format_value(entry, column))
        kind = "best" if entry.best else "tied" if entry.tied else ""
    words = {"best": ' <span class="sr">best</span>', "tied": ' <span class="sr">tied with the best</span>'}
    if records:
        attribute = " ".join(map(str, records))
        text = f'<button type="button" class="open" data-r="{attribute}">{text}</button>'
    elif kind in words:  # ranks have no records, but their marks must be visible
        text = f'<span class="number">{text}</span>'
    interval = format_interval(entry, column)
    span = f' <small class="interval">{escape(interval)}</small>' if interval else ""
    value = f' data-v="{entry.value!r}"' if entry.value is not None and entry.value == entry.value else ""
    attribute = f' class="{kind}"' if kind else ""
    return f"<td{attribute}{value}>{text}{words.get(kind, '')}{span}{notes}</td>"


def _count_rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
