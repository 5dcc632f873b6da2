"""The shipped suites: their plans, and a small part of the embedded one from end to end with all its tables."""

from __future__ import annotations

import pytest

import harness
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness.records.store import Store


@pytest.mark.parametrize("name", ["fusion", "fusion-sentiment", "fusion-memes"])
def test_every_cell_is_to_be_run_or_skipped_with_how_to_get_its_data(name, monkeypatch, tmp_path):
    monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    plan = make_plan(suites.load_suite_file(name))
    assert not [p for p in plan if p.state == "broken"]
    if name == "fusion":
        assert plan.counts() == {"run": len(plan)}
        return
    assert plan.counts() == {"skipped": len(plan)}
    assert all("expected" in p.reason or "get" in p.reason for p in plan)


def test_the_embedded_suite_has_three_seeds_both_splits_and_both_augmentations():
    cells = [p.cell for p in make_plan(suites.load_suite_file("fusion"))]
    assert {c.seed for c in cells} >= {0, 1, 2}
    assert {c.axes["split"] for c in cells} == {"reference", "clean"}
    assert {c.axes["augmentation"] for c in cells} == {"off", "on"}
    ablation = {c.method.plugin for c in cells if c.experiment == "ablation"}
    assert {
        "majority",
        "text-only",
        "image-only",
        "early-features",
        "early-tokens",
        "late",
        "gated",
    } <= ablation
    assert {"cross-attention", "cross-attention-pooled", "bilinear", "tensor", "low-rank"} <= ablation
    assert {"bottleneck", "oracle"} <= ablation


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The embedded suite with four methods, few posts, barely trained encoders and two seeds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        planned = suites.load_suite_file("fusion").model_dump()
        planned["protocol"] |= {"epochs": 1, "views": 1}
        text = {"plugin": "tiny-clip", "tower": "vit", "steps": 0}
        planned["models"] = [{"plugin": "pair", "image": {"plugin": "tiny-vit", "steps": 0}, "text": text}]
        kept = ("text only", "image only", "gated", "early (features)")
        for experiment in planned["experiments"]:
            experiment["methods"] = [m for m in experiment["methods"] if m["label"] in kept]
            for data in experiment["datasets"] or planned["datasets"]:
                data["count"] = 120
        planned["seeds"] = [0, 1]
        store = tmp_path_factory.mktemp("store")
        run = harness.run(planned, store=store, device="cpu", executor="inline")
        yield run, Store(store)


def test_all_tables_and_plots_of_the_embedded_suite_can_be_made(small):
    run, store = small
    frame = harness.load("fusion", store=store.path)
    assert (frame["status"] == "ok").all(), frame[["method", "reason"]].to_string()
    tables = {t.name: t for t in run.tables()}
    assert set(tables) == {t.name for t in suites.load_suite_file("fusion").tables}
    for table in tables.values():
        assert table.rows, table.name
        assert not [n for n in table.footnotes if n.startswith("not available")], table.footnotes
    compared = [c.header[-1] for c in tables["gain"].columns]
    assert compared == ["accuracy", "Δ accuracy", "p", "weighted F1", "Δ weighted F1", "p (F1)"]
    assert [c.kind for c in tables["augmentation"].columns] == ["value", "value", "delta"]  # off, on, their Δ
    assert [c.kind for c in tables["protocols"].columns] == ["value", "value", "delta"]


def test_curves_and_confusion_matrices_are_drawn(small):
    from matplotlib.figure import Figure

    from harness_plots.confusion import Confusion
    from harness_plots.training_curves import TrainingCurves

    _, store = small
    frame = harness.load("fusion", store=store.path)
    caption = TrainingCurves(["loss", "weighted_f1"], ["training"], ["method"]).draw(frame, store, Figure())
    assert "Training curves" in caption
    assert "Confusion matrices" in Confusion().draw(frame, store, Figure())


def test_the_sentiment_suite_takes_an_untidy_folder_below_the_data_root(own_plugins, monkeypatch, tmp_path):
    """Texts in two encodings, a grey, a missing and a broken image, an id without files, labels to predict."""
    import numpy as np
    from PIL import Image

    folder = tmp_path / "data" / "posts"
    (folder / "data").mkdir(parents=True)
    rng, lines = np.random.default_rng(0), ["guid,tag"]
    for n in range(66):
        label = ("negative", "neutral", "positive")[n % 3] if n < 60 else "null"
        lines.append(f"{n},{label}")
        text = f"c'était une journée {label if n < 60 else 'positive'}"
        (folder / "data" / f"{n}.txt").write_bytes(text.encode("latin-1" if n % 4 == 0 else "utf-8"))
        if n == 7:
            (folder / "data" / f"{n}.jpg").write_bytes(b"no image")
        elif n != 8:
            pixels = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8))
            pixels.convert("L" if n == 9 else "RGB").save(folder / "data" / f"{n}.jpg")
    lines.append("99,positive")
    (folder / "notes.pdf").write_bytes(b"")
    (folder / "train.txt").write_text("\n".join(lines), encoding="utf-8")

    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path / "data"))
    planned = suites.load_suite_file("fusion-sentiment").model_dump()
    planned["models"] = [{"plugin": "counting"}]
    planned["datasets"] = planned["datasets"][:1]
    planned["protocol"] |= {"epochs": 1, "views": 1, "predict": str(tmp_path / "out"), "layout": "tag"}
    planned["methods"] = [m for m in planned["methods"] if m["label"] in ("text only", "image only", "gated")]
    planned["seeds"] = [0]
    run = harness.run(planned, store=tmp_path / "store", device="cpu", executor="inline")
    frame = harness.load("fusion-sentiment", store=tmp_path / "store")
    assert (frame["status"] == "ok").all(), frame[["method", "reason"]].to_string()
    dirt = {r.header[1]: r.entries[0].value for t in run.tables() if t.name == "data" for r in t.rows}
    assert dirt["pairs"] >= 60
    assert dirt["label null"] == 6  # what is wrong with the table stands beside what is wrong with pairs
    assert dirt["file of another kind"] == 1
    assert sum(dirt.values()) > dirt["pairs"] + 3  # the kinds are named and counted beside it
    written = sorted((tmp_path / "out").glob("*.csv"))
    assert len(written) == len(frame)
    rows = written[0].read_text(encoding="utf-8").splitlines()
    assert rows[0] == "guid,tag"
    assert [r.split(",")[0] for r in rows[1:]] == [str(n) for n in range(60, 66)]
