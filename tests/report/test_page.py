"""The report as a file: whole, harmless whatever the names, and saying what the store says."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from harness.contract.data import Sample
from harness.discovery import registry
from harness.errors import StoreError
from harness.leaderboard.entries import Column, Row, TableValue
from harness.leaderboard.table import Table
from harness.reporting import collect, write_report
from harness.reporting.boards import render_head
from harness.reporting.figures import theme_svg
from harness.reporting.page import embed_json
from harness.reporting.samples import spread_over_models
from harness.reporting.thumbnails import choose_positions

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """Elements with their attributes and text; fails on a tag that is not closed in order."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.elements, self.stack = [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "attrs": dict(attrs), "text": "", "path": [e["tag"] for e in self.stack]}
        self.elements.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append({"tag": tag, "attrs": dict(attrs), "text": "", "path": []})

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.stack.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.stack:
            element["text"] += data

    def all(self, tag):
        return [e for e in self.elements if e["tag"] == tag]

    def data(self, name):
        (block,) = [e for e in self.all("script") if e["attrs"].get("id") == f"data-{name}"]
        return json.loads(block["text"])


def column(index, name):
    values, codes = index["at"][name]
    return [values[c] for c in codes]


@pytest.fixture
def written(maker, tmp_path):
    """Write the report of a store that a function fills, and read it back."""

    def write(fill, **options):
        content = options.pop("content", {})
        made = maker(**content)
        fill(made)
        return Page(write_report(made.done(), None, tmp_path / "page.html", **options)), made

    return write


def test_one_file_that_asks_nothing_of_the_network(written):
    plots = [{"name": "p", "kind": "bars"}]
    page, _ = written(lambda m: m.record("net", "data"), content={"plots": plots})
    for element in page.elements:
        for name, value in element["attrs"].items():
            if name in ("src", "href", "xlink:href", "action", "srcset", "poster"):
                assert (value or "").startswith(("#", "data:")), (element["tag"], name, value)
    assert "@import" not in page.source
    assert not re.search(r"url\((?!#)", page.source)
    (policy,) = [
        e["attrs"]["content"]
        for e in page.all("meta")
        if e["attrs"].get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    (script,) = [e for e in page.all("script") if "type" not in e["attrs"]]
    digest = base64.b64encode(hashlib.sha256(script["text"].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert page.all("html")[0]["attrs"]["lang"] == "en"


def test_names_stay_text_everywhere(written, nasty):
    def fill(made):
        for n, name in enumerate(nasty):
            made.record(name, name, 0.5 + n / 50, tags={"model.note": name})
            made.record(name, "broken", status="failed", reason=name, traceback=name)

    plots = [{"name": n, "title": n, "kind": "bars"} for n in nasty]
    content = {"title": nasty[0], "description": nasty[-1], "plots": plots}
    page, _ = written(fill, content=content)
    assert all(
        s["attrs"].get("type") == "application/json" or s["text"].startswith('"use strict"')
        for s in page.all("script")
    )
    assert len(page.all("style")) == 1
    assert not page.all("b")
    assert not [e for e in page.elements if any(a.startswith("on") for a in e["attrs"])]
    headers = {e["text"] for e in page.all("span") if e["attrs"].get("class") == "name"}
    assert set(nasty) <= headers
    assert set(column(page.data("index"), "model")) == set(nasty)
    assert set(nasty) <= {e["text"] for e in page.all("h3")}
    assert page.all("title")[0]["text"] == nasty[0]


def test_json_in_a_script_element_survives_anything():
    value = ["</script><script>alert(1)</script>", "<!--", "]]>", "&amp;", "\u2028", "🐈", float("inf")]
    text = embed_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == [*value[:-1], None]


def test_ids_are_unique_and_references_point_to_them(written):
    def fill(made):
        for model in "ab":
            made.record(model, "d", curves={"t": {"loss": [2.0, 1.0]}})

    plots = [{"name": str(n), "kind": k} for n, k in enumerate(["bars", "bars", "confusion", "training"])]
    page, _ = written(fill, content={"plots": plots})
    ids = [e["attrs"]["id"] for e in page.elements if "id" in e["attrs"]]
    assert len(ids) == len(set(ids))
    wanted = {i for e in page.elements for i in (e["attrs"].get("aria-labelledby") or "").split()}
    wanted |= {
        e["attrs"]["href"][1:] for e in page.elements if (e["attrs"].get("href") or "").startswith("#")
    }
    wanted = {i for i in wanted if not i.startswith("record-")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", page.source))
    assert wanted <= set(ids)


def test_numbers_lead_to_their_records(written):
    def fill(made):
        for model in ("one", "two"):
            for seed in (0, 1, 2):
                made.record(model, "d", 0.6 + seed / 10, seed)

    page, made = written(fill)
    index = page.data("index")
    assert index["id"] == [c["id"] for c in made.cells]
    buttons = [e for e in page.all("button") if "data-r" in e["attrs"] and "td" in e["path"]]
    by_model = [{column(index, "model")[int(r)] for r in b["attrs"]["data-r"].split()} for b in buttons]
    assert by_model == [{"one"}, {"two"}]
    assert all(b["text"] == "70.0" for b in buttons)
    details, pool = page.data("details-0"), page.data("pool")
    for n, id in enumerate(index["id"]):
        record = made.store.read(id)
        assert details[n]["metrics"] == record.metrics
        assert details[n]["cost"] == record.cost
        assert pool[details[n]["provenance"]["libraries"]] == record.provenance["libraries"]
        assert details[n]["run"] == {"started": record.provenance["started"]}
        assert pool[details[n]["parts"]["model"]]["label"] == record.coordinates["model"]
    assert len({d["parts"]["model"] for d in details}) == 2


def test_predictions_are_the_surest_misses_and_hits(written):
    page, made = written(lambda m: m.record("net", "d", 0.9, n=300), samples=40)
    excerpt = page.data("details-0")[0]["samples"]
    samples = made.store.samples(made.cells[0]["id"])
    assert (excerpt["total"], excerpt["hits"]) == (300, 270)
    assert excerpt["hit"] == [0] * 20 + [1] * 20
    at = excerpt["columns"].index("id")
    wrong = samples[samples["target"] != samples["prediction"]]
    best = wrong.sort_values("confidence", ascending=False)["id"].tolist()[:20]
    assert [r[at] for r in excerpt["rows"][:20]] == best


def test_few_misses_leave_room_for_hits_and_the_limit_of_records_is_told(written):
    def fill(made):
        made.record("a", "d", 0.99, n=100)
        made.record("b", "d", 0.99, n=100)

    page, _ = written(fill, samples=40, sample_records=1)
    first, second = page.data("details-0")
    assert sum(first["samples"]["hit"]) == 39
    assert "rows" not in second["samples"]
    assert second["samples"]["note"].endswith(".parquet.")


def test_every_model_has_its_turn_before_a_second_seed():
    cells = [(m, d, s) for m in "ab" for d in "xy" for s in "012"]
    order = spread_over_models(["".join(c) for c in cells], [c[0] for c in cells], [c[2] for c in cells])
    assert order[:4] == ["ax0", "bx0", "ay0", "by0"]
    assert set(order[4:8]) == {"ax1", "bx1", "ay1", "by1"}
    assert len(set(order)) == 12


def test_several_suites_stand_in_one_page(maker, tmp_path):
    one = maker(title="First")
    one.record("a", "d", 0.5)
    one.done()
    two = maker(suite="second", title="Second")
    two.record("b", "d", 0.7)
    two.record("c", "d", 0.6, axes={"shots": 4})
    store = two.done()
    page = Page(write_report(store, None, tmp_path / "both.html"))
    assert [e["text"] for e in page.all("h2") if e["text"]] == ["First", "Second", "Records"]
    links = [e["text"] for e in page.all("a") if "header" in e["path"] and "nav" in e["path"]]
    assert links == ["First", "Second", "Records"]
    assert column(page.data("index"), "model") == ["a", "b", "c"]
    assert column(page.data("index"), "shots") == ["", "", "4"]
    alone = Page(write_report(store, ["second"], tmp_path / "one.html"))
    assert column(alone.data("index"), "model") == ["b", "c"]


def test_several_processes_write_the_same_page(maker, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "MANY", 2)
    maker(title="First").record("a", "d", 0.5)
    for suite in ("second", "third"):
        made = maker(suite=suite)
        made.record("b", "d", 0.7)
        store = made.done()
    alone = write_report(store, None, tmp_path / "alone.html").read_bytes()
    assert write_report(store, None, tmp_path / "together.html", processes=2).read_bytes() == alone


def test_cells_without_a_result_show_why(written):
    def fill(made):
        made.record("a", "d")
        made.record("b", "d", status="failed", reason="ValueError: odd", traceback="Traceback: odd")
        made.record("c", "d", status="oom", reason="too large")
        made.record("e", "d", status="failed", reason="ValueError: odd")
        made.cells.append({"id": "f" * 20, "at": {**made.cells[0]["at"], "model": "later"}, "tags": {}})

    page, _ = written(fill)
    assert "5 cells: 1 ok, 2 failed, 1 not run yet, 1 out of memory." in page.source
    rows = [e["text"] for e in page.all("tr") if "ValueError: odd" in e["text"]]
    assert rows == ["failedValueError: odd2"]
    details = page.data("details-0")
    assert page.data("pool")[details[1]["traceback"]] == "Traceback: odd"
    assert details[4] is None
    assert "status" in page.data("index")


def test_the_same_store_gives_the_same_bytes(maker, tmp_path):
    made = maker(plots=[{"name": "p", "kind": "bars"}])
    made.record("a", "d")
    store = made.done()
    folder = tmp_path / "out"
    folder.mkdir()
    first = write_report(store, ["demo"], folder)
    assert first == folder / "report.html"
    second = write_report(store, None, tmp_path / "other.html")
    assert first.read_bytes() == second.read_bytes()


def test_what_is_not_there_is_one_line(maker, tmp_path):
    made = maker()
    with pytest.raises(StoreError, match="no records yet"):
        write_report(made.store, None, tmp_path / "p.html")
    made.record("a", "d")
    made.done()
    with pytest.raises(StoreError, match="no records of suite 'dmo'; did you mean 'demo'"):
        write_report(made.store, ["dmo"], tmp_path / "p.html")
    assert not (tmp_path / "p.html").exists()


def test_a_table_that_cannot_be_made_leaves_the_others(written):
    tables = [{"name": "bad", "values": ["top-1"]}, {"name": "good", "title": "Good one"}]
    page, _ = written(lambda m: m.record("a", "d"), content={"tables": tables})
    assert "Good one" in [e["text"] for e in page.all("h3")]
    problems = [e["text"] for e in page.all("p") if e["attrs"].get("class") == "problem"]
    assert any("no record has the value 'top-1'; did you mean 'top1'" in p for p in problems)


class Tiny:
    """A data set of eight small pictures of one shade each."""

    splits = ("test",)

    def __init__(self, fails: bool = False, size: int = 8) -> None:
        self.fails, self.size = fails, size

    def load(self, split):
        if self.fails:
            raise RuntimeError("the disk\nis gone")
        return self

    ids = tuple(f"d/{n:05d}" for n in range(8))
    class_names = ("zero", "one", "two", "three", "four")

    def __len__(self):
        return 8

    def __getitem__(self, n):
        return Sample(self.ids[n], np.full((self.size, self.size, 3), 30 * n, np.uint8), n % 5)


@pytest.mark.parametrize(("size", "kind"), [(8, "png"), (200, "jpeg")])
def test_thumbnails_show_the_samples_themselves(written, size, kind):
    import io

    from PIL import Image

    registry.register("datasets", "tiny", Tiny)
    page, _ = written(lambda m: m.record("net", "d", 0.5, n=8, dataset_part=("tiny", {"size": size})))
    excerpt = page.data("details-0")[0]["samples"]
    assert len(excerpt["thumbs"]) == 8
    assert excerpt["names"]["3"] == "three"
    pictures = page.data("pictures")
    for position, number in excerpt["thumbs"]:
        shade = 30 * int(excerpt["rows"][position][0].rpartition("/")[2])
        head, _, body = pictures[number].partition(",")
        assert head == f"data:image/{kind};base64"
        image = Image.open(io.BytesIO(base64.b64decode(body)))
        assert max(image.size) == min(size, 72)
        assert abs(image.convert("RGB").getpixel((0, 0))[0] - shade) <= 3


def test_misses_are_pictures_with_both_classes_and_a_link_to_their_record(written):
    registry.register("datasets", "tiny", Tiny)
    page, made = written(lambda m: m.record("net", "d", 0.5, n=8, dataset_part=("tiny", {})))
    id = made.cells[0]["id"]
    samples = made.store.samples(id)
    wrong = samples[samples["target"] != samples["prediction"]].sort_values("confidence", ascending=False)
    links = [e for e in page.all("a") if e["attrs"].get("class") == "miss"]
    assert [e["attrs"]["href"] for e in links] == [f"#record-{id}"] * 4
    assert [e["attrs"]["title"] for e in links] == [f"net · d: {sample}" for sample in wrong["id"]]
    names = Tiny.class_names
    told = [
        f"taken for {names[p]}, truly {names[t]}net · d"
        for t, p in zip(wrong["target"], wrong["prediction"], strict=True)
    ]
    assert [e["text"] for e in links] == told
    pictures = [e["attrs"]["src"] for e in page.all("img") if "a" in e["path"]]
    assert len(set(pictures)) == 4
    assert set(pictures) <= set(page.data("pictures"))


def test_thumbnails_that_cannot_be_made_say_why(written):
    registry.register("datasets", "tiny", Tiny)

    def fill(made):
        made.record("net", "d", n=8, dataset_part=("tiny", {"fails": True}))
        made.record("net", "other", n=8, dataset_part=("tiny", {}))
        made.record("net", "gone", n=8, dataset_part=("no-such-data", {}))

    page, _ = written(fill)
    told = [d["samples"].get("without") for d in page.data("details-0")]
    assert told[0] == "RuntimeError: the disk is gone"
    assert told[1] == "the data set has none of these samples any more"
    assert "no-such-data" in told[2]


def test_thumbnails_can_be_left_out(written):
    registry.register("datasets", "tiny", Tiny)
    page, _ = written(lambda m: m.record("net", "d", n=8, dataset_part=("tiny", {})), thumbnails=0)
    assert page.data("pictures") == []
    assert "thumbs" not in page.data("details-0")[0]["samples"]


def test_thumbnails_come_from_both_ends():
    assert choose_positions(10, 24) == list(range(10))
    assert choose_positions(60, 24) == [*range(12), *range(30, 42)]


def test_headers_keep_each_column_under_its_own_names():
    columns = [
        Column(("top1",), "top1"),
        Column(("top1", "Δ base"), "top1", "delta"),
        Column(("seconds",), "seconds", "cost", higher_is_better=False),
        Column(("x", "a"), "top1"),
        Column(("x", "b"), "top1"),
    ]
    table = Table("t", "T", ("model",), (), columns, [Row(("m",), [TableValue(0.5) for _ in columns])])
    found = HTMLParser()
    rows = []
    found.handle_starttag = lambda tag, attrs: (
        rows.append([]) if tag == "tr" else rows[-1].append(dict(attrs)) if tag == "th" else None
    )
    found.feed(render_head(table))
    covered = [[0] * 6, [0] * 6]
    for n, row in enumerate(rows):
        at = 0
        for cell in row:
            while covered[n][at]:
                at += 1
            for down in range(int(cell.get("rowspan", 1))):
                for right in range(int(cell.get("colspan", 1))):
                    covered[n + down][at + right] += 1
            if "data-at" in cell:
                assert int(cell["data-at"]) == at
    assert covered == [[1] * 6, [1] * 6]


def test_svg_inside_the_page_cannot_act():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="72pt">'
        '<script>alert(1)</script><g onclick="alert(2)"><a xlink:href="https://example.org"><path/></a>'
        '<image xlink:href="https://example.org/x.png"/><use xlink:href="#m" style="stroke: #0072b2"/>'
        '<path id="m" clip-path="url(#c)" style="fill: #1f2328"/><text>url(#t) onclick="x" &lt;b&gt;</text></g></svg>'
    )
    text = theme_svg(svg, "p1", 'a "label"')
    assert "alert" not in text
    assert "example.org" not in text
    assert 'href="#p1-m"' in text
    assert 'id="p1-m"' in text
    assert 'clip-path="url(#p1-c)"' in text
    assert "stroke: var(--s1)" in text
    assert "fill: var(--ink)" in text
    assert 'url(#t) onclick="x" &lt;b&gt;' in text


def test_ten_thousand_records(large):
    path = large
    assert path.stat().st_size < 12e6
    page = Page(path)
    assert len(page.data("index")["id"]) == 10_000
    assert sum(len(page.data(f"details-{n}")) for n in range(50)) == 10_000


def test_predictions_of_any_kind_leave_the_page(written):
    kinds = {
        "text": {"target": ["cat", "dog"] * 2, "prediction": ["cat"] * 4},
        "lists": {"target": [[1, 0]] * 4, "prediction": [[1, 1]] * 4},
        "measures": {"target": [0.5] * 4, "prediction": [0.7] * 4},
        "gap": {"target": [1] * 4, "prediction": [1, 1, 1, None], "confidence": ["sure"] * 4},
        "none": {"id": [], "target": [], "prediction": []},
    }

    def fill(made):
        for name, columns in kinds.items():
            id = made.record(name, "d", files=False, fake=True, n=4)
            made.store.write(made.store.read(id), {"id": list("abcd"), **columns})

    plots = [{"name": "p", "kind": "confusion"}, {"name": "b", "kind": "bars"}]
    page, _ = written(fill, content={"plots": plots})
    found = [detail["samples"] for detail in page.data("details-0")]
    assert [e.get("hits") for e in found] == [2, None, None, 3, None]
    assert [len(e["rows"]) for e in found] == [4, 4, 4, 4, 0]
    problems = [e["text"] for e in page.all("p") if e["attrs"].get("class") == "problem"]
    assert [p for p in problems if "JavaScript" not in p] == [
        "no record has per-sample targets and predictions as class numbers, or counts of them"
    ]


def test_tables_of_parts_that_were_not_run_are_not_complained_of(tmp_path: Path) -> None:
    from harness.records.record import Record
    from harness.records.store import Store
    from harness.reporting.collect import collect_views

    store = Store(tmp_path / "store")
    at = {"experiment": "one", "protocol": "p", "model": "m", "dataset": "d", "method": "", "seed": 0}
    store.write(Record("0" * 20, "ok", "s", at, {}, {}, {"top1": 0.5}))
    where = {"experiment": "two"}
    tables = [
        {"name": "here", "values": ["top1"]},
        {"name": "there", "columns": ["tag.dataset.severity"], "values": ["top1"], "where": where},
    ]
    suite = {"name": "s", "experiments": [{"name": "one"}, {"name": "two"}], "tables": tables}
    store.write_manifest(suite, [{"id": "0" * 20, "at": at, "tags": {}}])
    (view,) = collect_views(store, None)
    assert view.problem_lines == []
    assert [table.name for table in view.tables] == ["here"]
