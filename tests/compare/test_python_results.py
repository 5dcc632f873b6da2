"""The Python API on a store: each function's result beside what the command of its name prints as JSON."""

import json
import re

import pandas as pd
import pytest

import harness
from harness.cli import main
from harness.cli.common import encode_json
from harness.errors import HarnessError, SuiteError

CLIP_BENCHMARK = (
    '{"dataset": "cifar10", "model": "ViT-B-32", "pretrained": "openai", "task": "zeroshot_classification", '
    '"metrics": {"acc1": 0.9, "acc5": 0.99, "mean_per_class_recall": 0.9}, "language": "en"}'
)


@pytest.fixture
def store(maker, hits):
    made = maker("store")
    for n, (model, data) in enumerate([("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]):
        right = hits(0.9 if model == "a" else 0.4, 200, n)
        made.record(model, data, right, values={"ece": 0.1 * n}, remarks=[f"{model} was cut"])
    tables = [
        {"name": "main", "values": ["top1"], "columns": ["dataset"]},
        {"name": "other", "values": ["ece"], "columns": ["dataset"]},
    ]
    plots = [
        {"name": "dots", "kind": "bars"},
        {"name": "broken", "kind": "bars", "options": {"metric": "no"}},
    ]
    return str(made.done(tables=tables, plots=plots).path)


@pytest.fixture
def cli(capsys):
    """Runs a command; returns exit status, standard output and standard error."""

    def run(*arguments):
        status = main([str(a) for a in arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def plain(data):
    """The data as `--json` prints it."""
    return json.loads(encode_json(data))


@pytest.mark.parametrize(
    ("options", "layout"),
    [
        ([], {}),
        (["--table", "other"], {"table": "other"}),
        (["--rows", "dataset", "--columns", "model", "--value", "ece", "--value", "top1"],
         {"rows": ["dataset"], "columns": ["model"], "values": ["ece", "top1"]}),
        (["--where", "model=a", "--decimals", "3", "--transpose", "--no-percent"],
         {"where": {"model": "a"}, "decimals": 3, "transpose": True, "percent": False}),
        (["--baseline", "model=a", "--delta", "relative", "--level", "0.9", "--intervals", "samples"],
         {"baseline": "model=a", "delta": "relative", "level": 0.9, "intervals": "samples"}),
    ],
)  # fmt: skip
def test_tables(store, cli, options, layout):
    _, text, _ = cli("table", "demo", "--store", store, "--json", *options)
    tables = harness.table("demo", store=store, **layout)
    assert plain([t.to_dict() for t in tables]) == json.loads(text)
    assert len(harness.table(store=store, **layout)) == len(tables)


def test_tables_show_themselves(store):
    tables = harness.table("demo", store=store)
    page = tables._repr_html_()
    assert page.count("<table") == 2
    assert all(t._repr_html_() in page and str(t) in str(tables) for t in tables)
    assert repr(tables[0]).count("\n") == 0
    assert "2 × 2" in repr(tables[0])


def test_comparisons(store, cli):
    status, text, _ = cli(
        "compare", store, store, "--a", "model=a", "--b", "model=b", "--where", "dataset=*", "--json",
        "--suite", "demo", "--metric", "ece", "--fail-on", "top1 < -5", "--level", "0.9",
    )  # fmt: skip
    found = harness.compare(
        store, store, where_a={"model": "a"}, where_b={"model": "b"}, where={"dataset": "*"},
        suites="demo", metrics="ece", fail_on="top1 < -5", level=0.9,
    )  # fmt: skip
    assert plain(found.to_dict()) == json.loads(text)
    assert (found.answer, found.exit_status) == ("fail", status) == ("fail", 1)
    frame = found.frame()
    assert set(frame["dataset"]) == {"x", "y"}
    top1 = frame[frame["metric"] == "top1"]
    assert (top1["b"] - top1["a"]).tolist() == pytest.approx(top1["difference"].tolist())
    assert (top1["low"] < top1["difference"]).all()
    assert (top1["difference"] < top1["high"]).all()
    terminal = cli("compare", store, store, "--a", "model=a", "--b", "model=b")[1]
    assert str(harness.compare(store, store, where_a={"model": "a"}, where_b={"model": "b"})) == terminal
    assert "gates: FAIL" in repr(found)
    assert repr(found).count("\n") < 8


def test_comparisons_without_gates_pass(store):
    found = harness.compare(store, store)
    assert (found.answer, found.exit_status, len(found.frame())) == ("pass", 0, 4)


def test_names_are_escaped_in_notebooks(maker, hits, nasty):
    made = maker("odd")
    for n, name in enumerate(nasty):
        made.record(name, "x", hits(0.5, 20, n), reason=name, remarks=[name])
    store = str(made.done().path)
    found = harness.compare(store, store)
    for shown in (found, harness.table("demo", store=store), harness.plots("demo", store=store)):
        assert "<script>" not in shown._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()


def test_reports(store, cli, tmp_path):
    assert (
        cli("report", "demo", "--store", store, "--out", tmp_path / "a.html", "--plots", tmp_path / "a")[0]
        == 0
    )
    page = harness.report("demo", store=store, out=tmp_path / "b.html", plots=tmp_path / "b")
    assert page == tmp_path / "b.html"
    assert page.read_bytes() == (tmp_path / "a.html").read_bytes()
    files = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}
    assert len(files) == 2
    (tmp_path / "c").mkdir()
    assert harness.report(store=store, out=tmp_path / "c") == tmp_path / "c" / "report.html"


def test_plots_are_figures_that_can_be_changed_and_shown(store, tmp_path):
    from matplotlib.figure import Figure

    figures = harness.plots("demo", store=store)
    assert list(figures) == ["dots"]
    assert isinstance(figures["dots"], Figure)
    assert "no" in figures.problems["broken"]
    before = figures["dots"]._repr_png_()
    assert before.startswith(b"\x89PNG")
    figures["dots"].axes[0].set_title("Ours")
    assert figures["dots"]._repr_png_() != before
    figures["dots"].savefig(tmp_path / "ours.svg")
    assert "Ours" in figures["dots"].axes[0].get_title()
    page = figures._repr_html_()
    assert page.count("<img ") == 1
    assert figures.captions["dots"] in repr(figures)
    with pytest.raises(HarnessError, match="plot 'broken' of demo: "):
        harness.plots("demo", "broken", store=store)
    with pytest.raises(HarnessError, match="no plot 'dot'; did you mean 'dots'"):
        harness.plots("demo", ["dot"], store=store)


@pytest.mark.parametrize("wide", [False, True])
def test_exports(store, cli, tmp_path, wide):
    _, text, _ = cli("export", "--store", store, "--suite", "demo", "--json", *(["--wide"] if wide else []))
    data = harness.export("demo", store=store, wide=wide)
    assert json.loads(data.to_json(orient="records")) == json.loads(text)
    harness.export(store=store, wide=wide, out=tmp_path / "r.parquet")
    assert len(pd.read_parquet(tmp_path / "r.parquet")) == len(data) > 0


def test_merging(store, cli, maker, hits, tmp_path):
    other = maker("other")
    other.record("a", "x", hits(0.1, 200, 9))
    other.record("c", "x", hits(0.1, 200, 9))
    other.done()
    _, text, _ = cli("merge", tmp_path / "one", store, other.store.path, "--tolerance", "0.01", "--json")
    found = harness.merge(tmp_path / "two", store, other.store.path, tolerance=0.01)
    assert plain(found.to_dict()) == json.loads(text.replace(str(tmp_path / "one"), str(tmp_path / "two")))
    assert (found.copied, len(found.conflicts)) == (5, 1)


def test_imports(cli, tmp_path):
    (tmp_path / "r.json").write_text(CLIP_BENCHMARK)
    stores = tmp_path / "one", tmp_path / "two"
    _, text, _ = cli(
        "import", "clip_benchmark", tmp_path / "r.json", "--store", stores[0], "--json", "--suite", "s"
    )
    found = harness.import_results("clip_benchmark", tmp_path / "r.json", store=stores[1], suite="s")
    assert {"store": str(stores[0]), **vars(found)} == json.loads(text)
    one, two = (harness.load("s", store=place) for place in stores)
    pd.testing.assert_frame_equal(one, two)


def test_facts_about_plugins(cli, store):
    assert harness.list_plugins() == json.loads(cli("list", "--json")[1])
    assert harness.list_plugins("metric") == json.loads(cli("list", "metric", "--json")[1])
    assert plain(harness.info("top1")) == json.loads(cli("info", "top1", "--json")[1])
    (verdict,) = harness.check("top1")
    assert [plain(verdict.to_dict())] == json.loads(cli("check", "top1", "--json")[1])
    assert f"{verdict}\n" == cli("check", "top1")[1]
    assert verdict.holds


def test_an_object_is_checked_by_its_kind():
    class Wrong:
        """Gives a text instead of a number."""

        higher_is_better = True
        unit = "fraction"

        def __call__(self, predictions: harness.Predictions) -> float:
            return "high"  # type: ignore[return-value]

    (verdict,) = harness.check(Wrong(), kind="metrics")
    assert not verdict.holds
    assert verdict.failed
    assert harness.check(Wrong, kind="metric")[0].failed == verdict.failed
    assert "does not conform" in repr(verdict)
    with pytest.raises(HarnessError, match='Wrong needs its kind, as in kind="models"'):
        harness.check(Wrong())


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (lambda s: harness.table("dmo", store=s), ["table", "dmo"]),
        (lambda s: harness.table("demo", store=s, table="mian"), ["table", "demo", "--table", "mian"]),
        (lambda s: harness.table("demo", store=s, where={"modl": "a"}), ["table", "demo", "--where", "modl=a"]),
        (lambda s: harness.report("dmo", store=s), ["report", "dmo"]),
        (lambda s: harness.export("dmo", store=s), ["export", "--suite", "dmo"]),
        (lambda s: harness.export(store=s, format="parquet"), ["export", "--format", "parquet"]),
        (lambda s: harness.compare(s, s, fail_on="top1 <"), ["compare", 0, 0, "--fail-on", "top1 <"]),
        (lambda s: harness.compare(s, s, metrics="top2"), ["compare", 0, 0, "--metric", "top2"]),
        (lambda s: harness.compare(s, s, level=2.0), ["compare", 0, 0, "--level", "2"]),
        (lambda s: harness.compare(s, "nowhere"), ["compare", 0, "nowhere"]),
        (lambda s: harness.merge(s, "nowhere"), ["merge", 0, "nowhere"]),
        (lambda s: harness.merge(s, s, tolerance=3.0), ["merge", 0, 0, "--tolerance", "3"]),
        (lambda s: harness.import_results("clip_bench", "f", store=s), ["import", "clip_bench", "f"]),
        (lambda s: harness.info("top-1"), ["info", "top-1"]),
        (lambda s: harness.check("top-1"), ["check", "top-1"]),
        (lambda s: harness.check("top1", kind="metrix"), ["check", "top1", "--kind", "metrix"]),
        (lambda s: harness.list_plugins("metrix"), ["list", "metrix"]),
        (lambda s: harness.plan("robustnes", store=s), ["plan", "robustnes"]),
        (lambda s: harness.run("robustness", store=s, set={"modls": 1}), ["run", "robustness", "--set", "modls=1"]),
        (lambda s: harness.run("robustness", store=s, data_root="nowhere"),
         ["run", "robustness", "--data-root", "nowhere"]),
        (lambda s: harness.plan("robustness", store=s, models="tiny-cilp"),
         ["plan", "robustness", "--model", "tiny-cilp"]),
    ],
)  # fmt: skip
def test_errors_are_those_of_the_command_line(store, cli, call, arguments):
    arguments = [store if a == 0 else a for a in arguments]
    where = [] if arguments[0] in ("compare", "merge", "info", "check", "list") else ["--store", store]
    status, _, said = cli(*arguments, *where)
    assert status == 2
    with pytest.raises(HarnessError) as raised:
        call(store)
    assert "".join(f"harness: {line}\n" for line in str(raised.value).splitlines()) == said


@pytest.mark.parametrize(
    ("name", "wrong", "meant"),
    [
        ("run", "model", "models"), ("run", "devise", "device"), ("run", "limits", "limit"),
        ("plan", "sed", "seeds"), ("table", "row", "rows"), ("table", "stor", "store"),
        ("load", "stor", "store"), ("compare", "failon", "fail_on"), ("report", "output", "out"),
        ("plots", "name", "names"), ("export", "fromat", "format"), ("merge", "tolerence", "tolerance"),
        ("import_results", "suit", "suite"), ("check", "knd", "kind"), ("info", "knd", "kind"),
        ("list_plugins", "knd", "kind"), ("doctor", "stor", "store"),
    ],
)  # fmt: skip
def test_unknown_options_are_named_with_the_nearest(name, wrong, meant):
    message = f"harness.{name}: unknown option '{wrong}'; did you mean '{meant}'?"
    with pytest.raises(SuiteError, match=re.escape(message)):
        getattr(harness, name)("demo", **{wrong: 1})


def test_errors_in_notebooks_show_their_message_and_the_users_lines():
    with pytest.raises(HarnessError) as raised:
        harness.table("no-such", store="nowhere")
    lines = raised.value._render_traceback_()
    assert lines[-1] == f"SuiteError: {raised.value}"
    assert any('harness.table("no-such"' in line for line in lines)
    assert not any("harness/api" in line for line in lines)
    broken = HarnessError("broken")
    broken.__cause__ = ZeroDivisionError("inside")
    assert any("ZeroDivisionError: inside" in line for line in broken._render_traceback_())
