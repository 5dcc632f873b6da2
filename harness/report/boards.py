"""Leaderboards in HTML for the page: sortable headers, and a button on every number with records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from harness.leaderboard.entries import (
    DASH,
    Column,
    Entry,
    Row,
    footnote_marks,
    format_interval,
    format_value,
)
from harness.leaderboard.table import Table

SHOWN = 200
"""Rows shown at first; a button shows the others."""


def render_board(table: Table, anchor: str, place: Mapping[str, int]) -> str:
    """A table as a section. `place` maps record ids to the numbers by which the page calls them."""
    body, group = [], None
    for n, row in enumerate(table.rows):
        if n == 0 or row.group != group:
            group = row.group
            body.append("</tbody><tbody>" if n else "<tbody>")
            if group:
                width = len(table.row_names) + len(table.columns)
                body.append(
                    f'<tr class="group"><th colspan="{width}" scope="rowgroup"><span>{escape(group)}</span></th></tr>'
                )
        body.append(_render_row(row, table, place, hidden=n >= SHOWN))
    body.append("</tbody>" if table.rows else "<tbody></tbody>")
    title = escape(table.title)
    more = (
        f'<button type="button" class="all">Show all {len(table.rows)} rows</button>'
        if len(table.rows) > SHOWN
        else ""
    )
    tools = (
        f'<div class="tools"><label>Filter rows <input type="search" autocomplete="off" spellcheck="false"></label>'
        f'<span class="found" role="status">{_count_rows(len(table.rows))}</span>{more}</div>'
    )
    notes = "".join(f"<li>{escape(text)}</li>" for text in table.footnotes)
    return (
        f'<section class="board" id="{escape(anchor)}" data-shown="{SHOWN}"><h3 id="{escape(anchor)}-title">{title}</h3>'
        + (f'<p class="caption">{escape(table.caption)}</p>' if table.caption else "")
        + tools
        + f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{escape(anchor)}-title">'
        + f'<table aria-labelledby="{escape(anchor)}-title"><thead>{render_head(table)}</thead>{"".join(body)}</table></div>'
        + (f'<ol class="notes">{notes}</ol>' if notes else "")
        + "</section>"
    )


def render_head(table: Table) -> str:
    """The header rows; the lowest cell of each column sorts by it."""
    headers = _trim_headers(table.columns)
    depths = [len(h) for h in headers]
    layers = max(depths, default=1)
    rows = []
    for layer in range(layers):
        cells = []
        if layer == 0:
            cells = [_sort_header(name, n, layers, "asc", "") for n, name in enumerate(table.row_names)]
        n = 0
        while n < len(table.columns):
            column = table.columns[n]
            if depths[n] - 1 < layer:
                n += 1
            elif depths[n] - 1 == layer:
                first = "asc" if column.higher_is_better is False else "desc"
                hint = {True: "higher is better", False: "lower is better", None: ""}[column.higher_is_better]
                at = len(table.row_names) + n
                cells.append(
                    _sort_header(headers[n][layer] or column.metric, at, layers - layer, first, hint, "value")
                )
                n += 1
            else:
                end = n + 1
                same = headers[n][: layer + 1]
                while end < len(depths) and depths[end] - 1 > layer:
                    if headers[end][: layer + 1] != same:
                        break
                    end += 1
                text = escape(headers[n][layer])
                cells.append(
                    f'<th scope="colgroup" colspan="{end - n}" class="over"><span>{text}</span></th>'
                )
                n = end
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return "".join(rows)


def _trim_headers(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Each column's header without empty layers at its end.

    A column followed by others below its own header (its differences) becomes the first of them.
    """
    headers = []
    for column in columns:
        header = column.header
        while len(header) > 1 and not header[-1]:
            header = header[:-1]
        headers.append(header)
    for n, (header, following) in enumerate(pairwise(list(headers))):
        if len(following) > len(header) and following[: len(header)] == header:
            headers[n] = (*header, *["value"] * (len(following) - len(header)))
    return headers


def _sort_header(text: str, at: int, rowspan: int, first: str, hint: str, kind: str = "") -> str:
    arrow = {"higher is better": "↑", "lower is better": "↓"}.get(hint, "")
    shown = (
        f' <span class="hint" title="{hint}" aria-label="{hint}" role="img">{arrow}</span>' if arrow else ""
    )
    span = f' rowspan="{rowspan}"' if rowspan > 1 else ""
    style = f' class="{kind}"' if kind else ""
    return (
        f'<th scope="col"{span}{style} data-at="{at}" data-first="{first}">'
        f'<button type="button" class="sort"><span>{escape(text) or "value"}</span>{shown}</button></th>'
    )


def _render_row(row: Row, table: Table, place: Mapping[str, int], hidden: bool) -> str:
    cells = [f'<th scope="row">{render_name(h)}</th>' for h in row.header] or ['<th scope="row"></th>']
    if not table.row_names:
        cells = []
    cells += [_render_cell(e, c, place) for e, c in zip(row.entries, table.columns, strict=True)]
    return f"<tr{' hidden' if hidden else ''}>{''.join(cells)}</tr>"


def render_name(text: str) -> str:
    """A name that may be very long: cut by the page, whole when pointed at."""
    title = f' title="{escape(text)}"' if len(text) > 40 else ""
    return f'<span class="name"{title}>{escape(text)}</span>'


def _render_cell(entry: Entry, column: Column, place: Mapping[str, int]) -> str:
    records = [place[id] for id in dict.fromkeys(entry.records) if id in place]
    notes = f"<sup>{footnote_marks(entry.notes)}</sup>" if entry.notes else ""
    if entry.value is None:
        text, kind = DASH, "none"
    else:
        text = escape(format_value(entry, column))
        kind = "best" if entry.best else "tied" if entry.tied else ""
    said = {"best": ' <span class="sr">best</span>', "tied": ' <span class="sr">tied with the best</span>'}
    if records:
        attribute = " ".join(map(str, records))
        text = f'<button type="button" class="open" data-r="{attribute}">{text}</button>'
    elif kind in said:  # ranks have no records of their own, and their marks must be seen all the same
        text = f'<span class="number">{text}</span>'
    interval = format_interval(entry, column)
    span = f' <small class="interval">{escape(interval)}</small>' if interval else ""
    value = f' data-v="{entry.value!r}"' if entry.value is not None and entry.value == entry.value else ""
    attribute = f' class="{kind}"' if kind else ""
    return f"<td{attribute}{value}>{text}{said.get(kind, '')}{span}{notes}</td>"


def _count_rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
