"""Short labels: what they are made of, that they are unique, decide no id, and lose no pattern."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.comparing import Side, compare
from harness.comparing.gating import judge_all, parse_gates
from harness.comparing.sides import CompareError
from harness.discovery.reference import Reference, parse_references, parse_short
from harness.errors import SuiteError
from harness.exchange.merging import merge
from harness.leaderboard.build import build_tables, select_records
from harness.leaderboard.checking import check_where
from harness.leaderboard.frame import suite_frame
from harness.planning.labels import label_references, shorten_reference
from harness.planning.plan import Choice, make_plan
from harness.planning.suite import TableSpec, load_planned, parse_suite
from harness.records.store import Store
from harness.running.runner import keep_manifest, run


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("imagefolder:/data/very/long/pets", "pets"),
        ("imagefolder:/data/very/long/pets/", "pets"),
        ("imagefolder:../pets", "pets"),
        ("imagefolder:/data/pets/test", "pets/test"),  # `test` alone says too little
        ("arrays:C:\\data\\x.npz", "x"),
        ("webdataset:https://host/a/b/x-{000..012}.tar", "x-{000..012}"),
        ("timm:resnet18", "resnet18"),
        (
            "timm:resnet18?checkpoint=/x/y/mine.safetensors&num_classes=12&class_names=/x/names.txt",
            "resnet18 (mine)",
        ),
        ("timm:resnet18?checkpoint=/runs/7/best.pt", "resnet18 (7/best)"),
        # names of hubs are no paths
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k"),
        ("timm:hf-hub:timm/resnet18.a1_in1k", "hf-hub:timm/resnet18.a1_in1k"),
        ("scenes?shift=v2", "scenes"),
    ],
)
def test_labels_are_short(written: str, label: str) -> None:
    assert shorten_reference(parse_short(written)) == label


def labels_of(*written: Any, fixed: Any = None) -> list[str]:
    references = [r for w in written for r in parse_references(w, "here")]
    found = label_references([references], fixed)
    return [found[r.key] for r in references]


def test_labels_are_told_apart_by_paths_then_options() -> None:
    assert labels_of("f:/a/pets", "f:/b/pets", "f:/b/cars") == ["a/pets", "b/pets", "cars"]
    assert labels_of("t:r?bias=1", "t:r?bias=2&cut=1", "t:r") == ["r (bias=1)", "r (bias=2, cut=1)", "r"]
    assert labels_of("t:r?flag=true", "t:r?flag=false") == ["r (flag=true)", "r (flag=false)"]
    assert labels_of({"plugin": "t:r", "label": "pets"}, "f:/a/pets") == ["pets", "a/pets"]
    grid = {"plugin": "t:r", "grid": {"checkpoint": ["/a/x.pt", "/a/y.pt"]}}
    assert labels_of(grid) == ["r (checkpoint=x)", "r (checkpoint=y)"]


paths = st.lists(st.sampled_from(["a", "b", "pets", "test", "x.pt"]), min_size=1, max_size=4).map(
    lambda names: "/" + "/".join(names)
)
references = st.builds(
    Reference,
    st.sampled_from(["f", "g"]),
    st.dictionaries(st.sampled_from(["checkpoint", "n", "q"]), paths | st.integers(0, 2), max_size=2),
    st.none() | paths | st.sampled_from(["r", "hub/r"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(references, max_size=5), max_size=3), st.lists(references, max_size=3))
def test_no_two_references_of_a_group_share_a_label(
    groups: list[list[Reference]], added: list[Reference]
) -> None:
    labels = label_references(groups)
    for group in groups:
        distinct = {r.key for r in group}
        assert len({labels[k] for k in distinct}) == len(distinct)
    more = label_references([added], labels)
    assert {k: more[k] for k in labels} == labels  # the suite's own stay
    new = {r.key for r in added} - set(labels)
    assert len({more[k] for k in new}) == len(new)
    assert not {more[k] for k in new} & set(labels.values())


@pytest.fixture
def folders(toys: Any) -> Any:
    class AtFolder(toys.Data):  # type: ignore[misc]
        def __init__(self, root: str, part: int = 0) -> None:
            super().__init__()

    harness.register("datasets", "folder", AtFolder)
    return toys


def suite(*datasets: Any, **changes: Any) -> Any:
    content = {
        "name": "s",
        "protocol": "toy",
        "models": ["toy"],
        "datasets": list(datasets),
        "metrics": ["toy"],
    }
    return parse_suite(content | changes)


def test_labels_decide_no_id_and_patterns_find_both(folders: Any, tmp_path: Path) -> None:
    short, named = "folder:/data/very/long/pets", {"plugin": "folder:/data/very/long/pets", "label": "P"}
    (one,), (other,) = make_plan(suite(short)), make_plan(suite(named))
    assert one.cell.id == other.cell.id
    assert (one.cell.coordinates["dataset"], other.cell.coordinates["dataset"]) == ("pets", "P")
    whole = suite(
        short, "folder:/data/cars", exclude=[{"dataset": "folder:/data/cars", "seed": 1}], seeds=[0, 1]
    )
    assert [p.cell.dataset.label for p in make_plan(whole)] == ["pets", "pets", "cars"]
    for pattern in ("pets", "p*", short, "/data/very/long/pets"):
        chosen = make_plan(whole, Choice(datasets=[pattern]))
        assert {p.cell.dataset.label for p in chosen} == {"pets"}, pattern
    store = Store(tmp_path / "store")
    run(whole, store, installed_listeners=False)
    planned, data = load_planned(store, "s"), suite_frame(store, "s")
    for where in ("pets", short, "/data/very/long/pets", ["cars", short]):
        check_where({"dataset": where}, "--where", {"s": (planned, data)})
        found = select_records(data, TableSpec(name="t", where={"dataset": where}))
        assert set(found["at.dataset"]) == ({"pets", "cars"} if isinstance(where, list) else {"pets"})
    for nothing in ("/data/else", "/data/very/*", "folder:*pets"):  # `*` is for labels
        with pytest.raises(SuiteError, match="no cell of suite 's' has it"):
            check_where({"dataset": nothing}, "--where", {"s": (planned, data)})
        assert not len(select_records(data, TableSpec(name="t", where={"dataset": nothing})))
    spec = TableSpec(name="t", values=["score"])
    (table,) = build_tables(planned.model_copy(update={"tables": [spec]}), data, store)
    assert [c.header[0] for c in table.columns] == ["pets", "cars"]


def test_added_data_keep_the_suites_labels(folders: Any) -> None:
    made = make_plan(suite("folder:/a/pets"), Choice(add_datasets=["folder:/b/pets"]))
    assert [p.cell.dataset.label for p in made] == ["pets", "b/pets"]


def test_experiments_never_share_a_label_of_different_things() -> None:
    def labelled(*written: Any) -> list[str]:
        groups = [parse_references(w, "here") for w in written]
        found = label_references(groups)
        return [found[r.key] for group in groups for r in group]

    runs = ({"plugin": "t:r", "checkpoint": "run1/mine.pt"}, {"plugin": "t:r", "checkpoint": "run2/mine.pt"})
    assert labelled(*runs) == ["r (run1/mine)", "r (run2/mine)"]
    roots = ({"plugin": "f", "root": "/a/pets"}, {"plugin": "f", "root": "/b/pets"})
    assert labelled(*roots) == ["f (a/pets)", "f (b/pets)"]
    # one thing in two experiments keeps its short label, however it is written
    assert labelled("t:r?a=1&b=2", {"plugin": "t:r", "b": 2, "a": 1}) == ["r", "r"]


def add(store: Store, *data: str, only: str = "", **changes: Any) -> list[str]:
    """Run the suite with added data on one model, and return the labels of its data sets."""
    models = [only] if only else []
    made = run(
        suite("folder:/x/cars", **changes),
        store,
        choice=Choice(models=models, add_datasets=data),
        installed_listeners=False,
    )
    return list(dict.fromkeys(p.cell.dataset.label for p in made.plan))


def shown(store: Store) -> dict[str, set[str]]:
    """The ids of the store's cells by data set, whose options are all that decides them here."""
    found: dict[str, set[str]] = {}
    for cell in (store.manifest("s") or {})["cells"]:
        record = store.read(cell["id"])
        assert record
        found.setdefault(cell["at"]["dataset"], set()).add(record.cell["dataset"]["options"]["root"])
    return found


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_labels_of_earlier_commands_are_taken(folders: Any, tmp_path: Path, order: tuple[str, str]) -> None:
    store = Store(tmp_path / "store")
    first, second = (f"folder:/{name}/pets" for name in order)
    ids = {p.cell.id for p in make_plan(suite("folder:/x/cars"), Choice(add_datasets=[first, second]))}
    assert add(store, first, only="toy") == ["cars", "pets"]
    for _ in range(2):  # what is named again keeps the label that it had
        assert add(store, second, only="toy") == ["cars", f"{order[1]}/pets"]
        assert add(store, first, only="toy") == ["cars", "pets"]
        assert add(store, second, first, only="toy") == ["cars", f"{order[1]}/pets", "pets"]
    assert shown(store) == {
        "cars": {"/x/cars"},
        "pets": {f"/{order[0]}/pets"},
        f"{order[1]}/pets": {f"/{order[1]}/pets"},
    }
    assert {c["id"] for c in (store.manifest("s") or {})["cells"]} == ids  # labels decide none
    plan = harness.plan(suite("folder:/x/cars"), store=store.path, add_datasets=[second])
    assert [p.cell.dataset.label for p in plan] == ["cars", f"{order[1]}/pets"]


def test_a_suites_label_for_another_thing_moves_the_earlier_cells(folders: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    add(store, "folder:/a/pets", only="toy")
    mine = suite("folder:/x/cars", "folder:/b/pets")
    made = run(mine, store, choice=Choice(models=["toy"], datasets=["pets"]), installed_listeners=False)
    assert [p.cell.dataset.label for p in made.plan] == ["pets"]  # as the suite's own `where` has it
    # same place, another thing: the new cell replaces it
    assert shown(store) == {"cars": {"/x/cars"}, "pets": {"/b/pets"}}

    two = suite("folder:/x/cars", "folder:/c/pets", seeds=[0, 1])
    run(two, store, choice=Choice(seeds=[1], datasets=["pets"]), installed_listeners=False)
    assert shown(store) == {"cars": {"/x/cars"}, "b/pets": {"/b/pets"}, "pets": {"/c/pets"}}
    (moved,) = [c for c in (store.manifest("s") or {})["cells"] if c["at"]["dataset"] == "b/pets"]
    assert moved["remarks"] == [
        "data set 'b/pets' was called 'pets' when it was planned, which now is another one"
    ]


def test_a_changed_option_under_a_given_label_mixes_no_row(folders: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for seed, part in ((0, 1), (1, 2)):
        ours = {"plugin": "folder:/a/pets", "label": "ours", "part": part}
        run(suite(ours), store, choice=Choice(seeds=[seed]), installed_listeners=False)
    found = [(c["at"]["dataset"], c["at"]["seed"]) for c in (store.manifest("s") or {})["cells"]]
    assert found == [("pets", 0), ("ours", 1)]


def test_the_same_content_keeps_its_label_elsewhere(toys: Any, tmp_path: Path) -> None:
    class AtPath(toys.Data):  # type: ignore[misc]
        def __init__(self, root: Path) -> None:
            super().__init__()
            self.root = root

        def fingerprint(self) -> str:
            return f"{content} {self.root.name}"

    content = "the same"
    harness.register("datasets", "folder", AtPath)
    store = Store(tmp_path / "store")
    assert add(store, "folder:/a/pets", only="toy") == ["cars", "pets"]
    assert add(store, "folder:/b/pets", only="toy") == ["cars", "pets"]
    content = "changed"
    assert add(store, "folder:/b/pets", only="toy", seeds=[1]) == ["cars", "pets"]
    cells = (store.manifest("s") or {})["cells"]
    said = {(c["at"]["dataset"], c["at"]["seed"]): c.get("remarks") for c in cells}
    assert said == {
        **{
            (name, 0): [f"data set '{name}' had other content when this was planned than it has now"]
            for name in ("cars", "pets")
        },
        **{(name, 1): None for name in ("cars", "pets")},
    }


def test_patterns_mean_labels_before_what_was_written(folders: Any, tmp_path: Path) -> None:
    pets, ours = "folder:/data/pets", {"plugin": "folder:/data/pets", "label": "ours", "part": 3}
    whole = suite(pets, ours, "folder:/data/cars")

    def left(pattern: Any, **choice: Any) -> list[str]:
        narrowed = suite(
            pets, ours, "folder:/data/cars", **({"exclude": [{"dataset": pattern}]} if pattern else {})
        )
        return [p.cell.dataset.label for p in make_plan(narrowed, Choice(**choice))]

    assert left("pets") == left(pets) == left("*pets*") == ["ours", "cars"]
    assert left("*part=3*") == left("/data/*") == ["pets", "ours", "cars"]
    assert left("folder:/data/pets?part=3") == ["pets", "cars"]
    assert left(["cars", "folder:/data/pets?part=3"]) == ["pets"]
    for pattern, found in {"pets": ["pets"], "p*": ["pets"], "folder:/data/pets?part=3": ["ours"]}.items():
        assert left(None, datasets=[pattern]) == found
    store = Store(tmp_path / "store")
    run(whole, store, installed_listeners=False)
    data = suite_frame(store, "s")
    for pattern, meant in {
        "pets": {"pets"},
        "*pets*": {"pets"},
        "*part=3*": set(),
        "folder:/data/pets?part=3": {"ours"},
        "/data/cars": {"cars"},
    }.items():
        assert (
            set(select_records(data, TableSpec(name="t", where={"dataset": pattern}))["at.dataset"]) == meant
        )
        side = Side("A", store, {"dataset": pattern})
        if meant:
            assert {c.at["dataset"] for c in side.cells()} == meant
        else:
            with pytest.raises(CompareError, match="nothing has"):
                side.cells()


def test_a_pattern_means_a_label_of_another_experiment(folders: Any) -> None:
    ours = {"plugin": "folder:/data/pets", "label": "ours"}
    two = [{"name": "one", "datasets": ["folder:/data/pets"]}, {"name": "two", "datasets": [ours]}]
    content = {"name": "s", "protocol": "toy", "models": ["toy"], "metrics": ["toy"], "experiments": two}
    made = make_plan(parse_suite(content), Choice(datasets=["pets"]))
    assert [p.cell.coordinates["experiment"] for p in made] == ["one"]
    made = make_plan(parse_suite(content), Choice(datasets=["/data/pets"]))
    assert [p.cell.coordinates["experiment"] for p in made] == ["one", "two"]


def test_equal_labels_of_other_data_are_not_paired(folders: Any, tmp_path: Path) -> None:
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    run(suite("folder:/a/pets"), one, installed_listeners=False)
    run(suite("folder:/b/pets"), other, installed_listeners=False)
    found = compare(Side("A", one), Side("B", other))
    (difference,) = found.differences
    assert difference.evidence.kind == "none"
    said = "'pets' is other data: folder:/a/pets in A, folder:/b/pets in B"
    assert said in str(difference.reason)
    assert "what 'pets' stands for differs: folder:/a/pets in A, folder:/b/pets in B" in map(
        str, found.warnings
    )
    (verdict,) = judge_all(found, parse_gates([f"{difference.metric} < -0.5"]))
    assert verdict.answer != "pass"
    assert said in verdict.verdict.reason
    same = compare(Side("A", one), Side("B", one))
    assert same.differences[0].evidence.kind != "none"


def old_store(path: Path, planned: Any) -> Store:
    """A store whose labels are whole values, as an older harness made them."""
    store = Store(path)
    run(planned, store, installed_listeners=False)
    plan = store.manifest("s") or {}
    texts = {"pets": "/data/very/long/pets", "cars": "/data/cars"}
    for cell in plan["cells"]:
        cell["at"]["dataset"] = texts[cell["at"]["dataset"]]
    store.write_manifest(plan["suite"], plan["cells"])
    return store


def test_stores_of_older_labels_match(folders: Any, tmp_path: Path) -> None:
    planned = suite("folder:/data/very/long/pets", "folder:/data/cars")
    new, old = Store(tmp_path / "new"), old_store(tmp_path / "old", planned)
    run(planned, new, installed_listeners=False)
    found = compare(Side("A", old), Side("B", new))
    assert (found.matched, found.only_a, found.only_b) == (2, [], [])
    chosen = compare(Side("A", old, {"dataset": "/data/cars"}), Side("B", new, {"dataset": "/data/cars"}))
    assert chosen.matched == 1
    for into, source in ((new, old), (old, new)):
        merge(into, [source])
        assert len((into.manifest("s") or {})["cells"]) == 2
    keep_manifest(old, make_plan(planned, Choice(datasets=["cars"])), merge=True)
    labels = [c["at"]["dataset"] for c in (old.manifest("s") or {})["cells"]]
    assert sorted(labels) == ["/data/very/long/pets", "cars"]
