"""`harness report`: which suites it takes, and where page and plots go."""

import json

import numpy as np

from harness.cli import main


def test_writes_the_page_and_the_plots(maker, tmp_path, capsys):
    made = maker("s")
    for model, parameters in (("ViT", 1e6), ("ResNet", 2e6)):
        id = made.record(model, "d", np.ones(10))
        record = made.store.read(id)
        record.cost["parameters"] = parameters
        made.store.write(record)
    plots = [{"name": "cost", "kind": "pareto"}, {"name": "odd", "kind": "no-such-plot"}]
    store = made.done(plots=plots, protocol="zero")
    page, folder = tmp_path / "page.html", tmp_path / "plots"
    given = ["report", "demo", "--store", str(store.path), "--out", str(page)]
    assert main([*given, "--plots", str(folder), "--json"]) == 0
    told = capsys.readouterr()
    assert "ResNet" in page.read_text(encoding="utf-8")
    assert sorted(p.suffix for p in folder.iterdir()) == [".png", ".svg"]
    assert sorted(json.loads(told.out)["plots"]) == sorted(str(p) for p in folder.iterdir())
    assert "plot 'odd' of demo" in told.err


def test_wrong_use_is_one_line(maker, tmp_path, capsys):
    made = maker("s")
    made.record("m", "d", [1, 0])
    store = ["--store", str(made.done().path)]
    assert main(["report", "dmeo", *store]) == 2
    assert main(["report", "--store", str(tmp_path / "empty")]) == 2
    (tmp_path / "file").write_text("")
    assert main(["report", *store, "--out", str(tmp_path / "file" / "page.html")]) == 2
    told = capsys.readouterr().err.splitlines()
    assert "did you mean 'demo'?" in told[0]
    assert "no records yet" in told[1]
    assert "can't be written" in told[2]
    assert len(told) == 3
