"""Formats of tables: names that would be markup stay names, numbers stay numbers."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.leaderboard.entries import Column, Row, TableValue, format_number
from harness.leaderboard.formats import FORMATS, render
from harness.leaderboard.table import Table

NAMES = [
    "<script>alert(1)</script>",
    "a|b",
    "$x_1$ & 50% #2",
    "../../x",
    "n" * 300,
    "🦊 ünï",
    "=cmd()",
    "[b] \\x{",
    "**c** `d`",
    "@SUM(1)",
]


def table() -> Table:
    columns = [
        Column((f"col {NAMES[0]}", "top1"), "top1", percent=True, decimals=1),
        Column(("col", "ece"), "ece"),
    ]
    rows = [
        Row((name,), [TableValue(0.5 + n / 100, 0.4, 0.7, notes=[0]), TableValue(None, notes=[1])])
        for n, name in enumerate(NAMES)
    ]
    rows[0].entries[0].best = True
    rows[1].entries[0].tied = True
    rows[2].entries[1] = TableValue(float("inf"))
    return Table(
        "t",
        "Title <b> | $",
        ("model",),
        ("dataset",),
        columns,
        rows,
        ["failed: <img src=x>", "skipped: a|b"],
        "Caption & more",
    )


class Parsed(HTMLParser):
    """Tags in order, texts of the cells, and whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_escapes_every_name_and_closes_every_tag() -> None:
    page = Parsed()
    page.feed(render(table(), "html"))
    page.close()
    assert page.open == []
    assert not page.seen & {"script", "img"}
    for name in NAMES:
        assert name in page.texts


def test_markdown_keeps_its_columns() -> None:
    lines = [line for line in render(table(), "markdown").splitlines() if line.startswith("|")]
    assert len(lines) == len(NAMES) + 2
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in lines)
    text = "\n".join(lines)
    assert "<script" not in text
    assert r"a\|b" in text
    assert r"\$x\_1\$" in text
    assert r"\*\*c\*\* \`d\`" in text


def test_csv_is_read_back_and_disarms_formulas() -> None:
    rows = list(csv.reader(io.StringIO(render(table(), "csv"))))
    assert {len(r) for r in rows} == {10}
    assert rows[0][-1] == "notes"
    assert rows[1][-1] == f"col {NAMES[0]} / top1: failed: <img src=x>; col / ece: skipped: a|b"
    assert [r[0].removeprefix("'") for r in rows[1:]] == NAMES
    assert not [c for r in rows for c in r if c[:1] in ("=", "@")]
    assert float(rows[2][1]) == 0.51
    assert rows[1][5] == ""
    assert float(rows[3][5]) == float("inf")


def test_json_is_strict() -> None:
    def refuse(text: str) -> None:
        raise AssertionError(text)

    content = json.loads(render(table(), "json"), parse_constant=refuse)
    assert [r["header"][0] for r in content["rows"]] == NAMES
    assert content["rows"][2]["entries"][1]["value"] == "inf"


def test_latex_has_nothing_unescaped() -> None:
    text = render(table(), "latex")
    assert text.isascii() or all(ord(c) < 0x180 for c in text)
    body = (
        text[text.index("\\midrule") : text.index("\\bottomrule")]
        .removeprefix("\\midrule")
        .strip()
        .splitlines()
    )
    assert len(body) == len(NAMES)
    for line in body:
        assert line.endswith("\\\\")
        plain = re.sub(
            r"\\[\\{}$&#%_]",
            "",
            line.removesuffix("\\\\").replace("$-$", "").replace(r"$\pm$", "").replace(r"$\infty$", ""),
        )
        assert plain.count("{") == plain.count("}")
        assert plain.count("&") == 2
        assert not set("$#%_^~<>|") & set(plain)
        # after a line break or a rule LaTeX takes a bracket for an optional argument
        assert not line.startswith("[")
    assert "U+1F98A" in text


def test_terminal_has_no_control_characters_and_no_endless_names() -> None:
    made = table()
    made.rows[0] = Row(("evil\x1b[31m\r\n",), made.rows[0].entries)
    text = render(made, "terminal")
    assert not [c for c in text if ord(c) < 32 and c != "\n"]
    assert max(map(len, text.splitlines())) < 400
    assert "50.0" in text


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_empty_tables_can_be_written(format: str, tmp_path: Path) -> None:
    assert render(Table("t", "T", ("model",), ("dataset",), [], []), format)


def test_unknown_format() -> None:
    with pytest.raises(HarnessError, match=r"--format markdwon: unknown; did you mean 'markdown'"):
        render(table(), "markdwon")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00123, "0.00123"), (12.34, "12.3"), (99.96, "100"), (3811.2, "3811"), (-4000.5, "-4000"),
     (12_345, "12.3 k"), (999_400, "999 k"), (999_600, "1 M"), (25.6e6, "25.6 M"), (9.996e8, "1 G"), (3e12, "3 T")],
)  # fmt: skip
def test_costs_have_a_prefix_and_no_powers_of_ten(value: float, text: str) -> None:
    assert format_number(value, Column(("cost",), "cost", kind="cost")) == text
