"""Tables in HTML: a fragment whose classes mark best and tied values, for the page to style."""

from __future__ import annotations

from html import escape

from harness.leaderboard.entries import DASH, Column, TableValue, format_interval, format_value
from harness.leaderboard.layout import Layout, footnote_marks, header_spans, marks_legend


def html(table: Layout) -> str:
    """Return a `<table>` with caption, header rows, and a legend and footnotes in its footer. All names are escaped."""
    layers = max((len(c.header) for c in table.columns), default=1)
    head = []
    for layer in range(layers):
        names = (
            "".join(f'<th scope="col" rowspan="{layers}">{escape(n)}</th>' for n in table.row_titles)
            if layer == 0
            else ""
        )
        spans = header_spans(table, layer)
        cells = "".join(f'<th scope="col" colspan="{width}">{escape(text)}</th>' for text, width in spans)
        head.append(f"<tr>{names}{cells}</tr>")
    body = []
    for row in table.rows:
        names = "".join(f'<th scope="row">{escape(h)}</th>' for h in table.show_labels(row))
        kind = ' class="published"' if row.published else ""
        cells = "".join(_render_cell(e, c) for e, c in zip(row.entries, table.columns))
        body.append(f"<tr{kind}>{names}{cells}</tr>")
    width = len(table.row_names) + len(table.columns)
    notes = "".join(f"<li>{escape(text)}</li>" for text in table.footnotes)
    below = f"<ol>{notes}</ol>" if notes else ""
    if key := marks_legend(table, "<b>bold</b>", "<u>underlined</u>"):
        below = f'<p class="key">{key}</p>{below}'
    foot = f'<tfoot><tr><td colspan="{width}">{below}</td></tr></tfoot>' if below else ""
    caption = escape(table.title) + (f"<p>{escape(table.caption)}</p>" if table.caption else "")
    return (
        f'<table class="leaderboard"><caption>{caption}</caption>'
        f"<thead>{''.join(head)}</thead><tbody>{''.join(body)}</tbody>{foot}</table>\n"
    )


def _render_cell(entry: TableValue, column: Column) -> str:
    notes = f"<sup>{footnote_marks(entry.notes)}</sup>" if entry.notes else ""
    if entry.value is None:
        return f"<td>{DASH if column.kind != 'delta' or entry.notes else ''}{notes}</td>"
    kind = "best" if entry.best else "tied" if entry.tied else ""
    value = escape(format_value(entry, column))
    value = f"<b>{value}</b>" if entry.best else f"<u>{value}</u>" if entry.tied else value
    interval = format_interval(entry, column)
    span = f' <small class="interval">{escape(interval)}</small>' if interval else ""
    attribute = f' class="{kind}"' if kind else ""
    return f'<td{attribute} data-value="{entry.value!r}">{value}{span}{notes}</td>'
