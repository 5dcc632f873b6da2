"""Suite files: unknown keys with the nearest, bad TOML, --set, the JSON Schema, shipped suites."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.discovery import registry
from harness.errors import SuiteError
from harness.planning import suite
from harness.planning.suite import find_suite_file, json_schema, load_suite_file, parse_suite

WHOLE: dict[str, Any] = {
    "name": "s",
    "protocol": "toy",
    "models": ["toy", {"plugin": "toy", "label": "second"}],
    "datasets": ["toy"],
    "axes": {"shots": [1, 2]},
    "exclude": [{"model": "toy"}],
    "include": [{"dataset": "toy", "axes": {"shots": 4}}],
    "experiments": [{"name": "e", "seeds": [0, 1], "exclude": [{"seed": 1}]}],
    "tables": [{"name": "t"}],
    "plots": [{"name": "p", "kind": "bars"}],
}


def without(path: list[Any], key: str) -> dict[str, Any]:
    """The whole suite with one wrong key put where `path` says."""
    data = json.loads(json.dumps(WHOLE))
    here = data
    for part in path:
        here = here[part]
    here[key] = "x"
    return data


@pytest.mark.parametrize(
    ("path", "key", "near"),
    [
        ([], "modells", "models"),
        (["experiments", 0], "sedes", "seeds"),
        (["experiments", 0, "exclude", 0], "modle", "model"),
        (["exclude", 0], "datset", "dataset"),
        (["include", 0], "methd", "method"),
        (["tables", 0], "colums", "columns"),
        (["plots", 0], "knd", "kind"),
    ],
)
def test_unknown_keys_at_every_level_have_the_nearest(path: list[Any], key: str, near: str) -> None:
    place = ".".join(str(p) for p in [*path, key])
    with pytest.raises(SuiteError) as caught:
        parse_suite(without(path, key), "my.toml")
    assert str(caught.value) == f"my.toml: unknown key '{place}'; did you mean '{near}'?"


def test_the_whole_suite_is_valid() -> None:
    assert parse_suite(WHOLE).name == "s"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../x"}, "name: expected letters, digits"),
        ({"name": None}, "name: "),
        ({"limit": 0}, "limit: input should be greater than or equal to 1, found 0"),
        (
            {"precision": "half"},
            "precision: input should be 'float32', 'bfloat16' or 'float16', found 'half'",
        ),
        ({"axes": {"shots": 3}}, "axes.shots: expected a list, such as [3], found 3"),
        ({"tables": [{}]}, "tables.0.name: field required"),
        ({"seeds": ["a"]}, "seeds.0: input should be a valid integer"),
    ],
)
def test_wrong_values_are_named_with_their_place(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse_suite({**WHOLE, **change}, "my.toml")
    assert str(caught.value).startswith(f"my.toml: {words}")
    assert "\n" not in str(caught.value)


def test_a_plugin_that_is_neither_text_nor_table_is_one_line() -> None:
    with pytest.raises(SuiteError) as caught:
        parse_suite({**WHOLE, "models": [3]}, "my.toml")
    assert (
        str(caught.value)
        == "my.toml: models.0: expected 'plugin:value' or a table with plugin = \"…\", found 3"
    )


def test_several_mistakes_are_several_lines() -> None:
    with pytest.raises(SuiteError) as caught:
        parse_suite({**WHOLE, "modells": [], "limit": 0}, "my.toml")
    assert len(str(caught.value).splitlines()) == 2


def test_experiments_fill_what_they_leave_empty_from_the_top() -> None:
    (grid,) = parse_suite(WHOLE).grids
    assert (grid.name, grid.protocol, grid.seeds, len(grid.models)) == ("e", "toy", [0, 1], 2)
    assert grid.exclude[0].seed == 1
    alone = parse_suite({k: v for k, v in WHOLE.items() if k != "experiments"}).grids
    assert [g.name for g in alone] == ["s"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name = ", "not valid TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b'name = "a"\nname = "b"\n', "not valid TOML"),
    ],
)
def test_bad_toml_names_the_file(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(SuiteError, match=words) as caught:
        load_suite_file(path)
    assert str(caught.value).startswith(str(path))


def test_missing_files_and_unknown_suites(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no such suite file"):
        load_suite_file(tmp_path / "absent.toml")
    with pytest.raises(SuiteError, match="no such suite file"):
        load_suite_file(str(tmp_path) + "/folder.toml")
    with pytest.raises(
        SuiteError, match=r"no suite plugin named 'robustnes'; did you mean 'robustness'.*path"
    ):
        load_suite_file("robustnes")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


TEXT = """
name = "mine"
protocol = "toy:x"
models = ["timm:r18", { plugin = "timm", label = "second" }]
[axes]
shots = [1]
[[tables]]
name = "main"
"""


@pytest.mark.parametrize(
    ("key", "value", "look"),
    [
        ("limit", 5, lambda s: s.limit),
        ("axes.shots", [2], lambda s: s.axes["shots"]),
        ("axes.new", [2], lambda s: s.axes["new"]),
        ("tables.0.level", 0.9, lambda s: s.tables[0].level),
        ("tables.main.level", 0.9, lambda s: s.tables[0].level),
        ("models.second.pretrained", False, lambda s: s.models[1]["pretrained"]),
        ("models.0", "toy", lambda s: s.models[0]),
        ("protocol.strength", 2, lambda s: s.protocol["strength"]),
        ("models.timm:r18.pretrained", False, lambda s: s.models[0]["pretrained"]),
        ("models.0.options.pretrained", False, lambda s: s.models[0]["options"]["pretrained"]),
    ],
)
def test_set_reaches_every_place(tmp_path: Path, key: str, value: Any, look: Callable[[Any], Any]) -> None:
    assert look(load_suite_file(written(tmp_path, TEXT), {key: value})) == value


def test_set_on_a_short_reference_keeps_what_it_says(tmp_path: Path) -> None:
    changed = load_suite_file(written(tmp_path, TEXT), {"models.0.pretrained": False, "protocol.strength": 2})
    assert changed.models[0] == {"plugin": "timm:r18", "pretrained": False}
    assert changed.protocol == {"plugin": "toy:x", "strength": 2}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("limmit", "unknown key 'limmit'; did you mean 'limit'"),
        ("tabels.0.level", "unknown key 'tabels'; did you mean 'tables'"),
        ("tables.1.level", "no entry '1' among 1"),
        ("tables.mian.level", "no entry 'mian' among 1; did you mean 'main'"),
        ("tables.0.levle", "unknown key 'tables.0.levle'; did you mean 'level'"),
        ("name.x", "--set name.x: 'name' is not a table"),
        ("name.x.y", "--set name.x.y: 'name' is not a table"),
        ("axes.shots.0.x", "--set axes.shots.0.x: 'axes.shots.0' is not a table"),
    ],
)
def test_set_refuses_what_is_not_there(tmp_path: Path, key: str, words: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite_file(written(tmp_path, TEXT), {key: 1})
    assert words in str(caught.value)


def test_the_json_schema_is_valid_and_knows_every_key() -> None:
    schema = json_schema()
    json.dumps(schema)
    assert set(schema["properties"]) == set(suite.Suite.model_fields)
    assert schema["additionalProperties"] is False
    references = [r for r in json.dumps(schema).split('"') if r.startswith("#/$defs/")]
    assert references
    assert all(r.removeprefix("#/$defs/") in schema["$defs"] for r in references)
    table = schema["$defs"]["TableSpec"]
    assert table["required"] == ["name"]
    assert set(table["properties"]) == set(suite.TableSpec.model_fields)


def test_every_shipped_suite_is_found_and_valid() -> None:
    shipped = registry.installed("suites")
    assert shipped
    for plugin in shipped:
        assert load_suite_file(plugin.name).name == plugin.name


def test_a_suite_of_a_third_party_is_located_without_importing(install: Any, tmp_path: Path) -> None:
    site = install("theirs", {"harness.suites": {"their-suite": "their_suites", "gone": "absent.module"}})
    (site / "their_suites").mkdir()
    (site / "their_suites" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    with pytest.raises(
        SuiteError, match=r"'their-suite' of theirs: their_suites has no file their-suite.toml"
    ):
        find_suite_file("their-suite")
    (site / "their_suites" / "their-suite.toml").write_text('name = "their-suite"\n')
    assert load_suite_file("their-suite").name == "their-suite"
    with pytest.raises(SuiteError, match=r"'gone' of theirs: absent.module has no file gone.toml"):
        find_suite_file("gone")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"limit": True}, "limit"),
        ({"seeds": [0, True]}, "seeds"),
        ({"exclude": [{"seed": False}]}, "exclude.0.seed"),
        ({"tables": [{"name": "t", "decimals": True}]}, "tables.0.decimals"),
    ],
)
def test_true_is_no_number(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse_suite({**WHOLE, **changes}, "my.toml")
    assert str(caught.value).startswith(f"my.toml: {place}: expected whole numbers, found ")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('name = "s"\n', encoding="utf-8-sig")
    assert load_suite_file(tmp_path / "s.toml").name == "s"


@pytest.mark.parametrize(
    ("key", "wrong", "place"),
    [("defaults", 3, "defaults"), ("tables", [3], "tables.0"), ("experiments", ["x"], "experiments.0")],
)
def test_a_value_in_the_place_of_a_table_gets_one_line(key: str, wrong: Any, place: str) -> None:
    value = wrong[0] if isinstance(wrong, list) else wrong
    with pytest.raises(SuiteError) as caught:
        parse_suite({"name": "s", key: wrong}, "s.toml")
    assert str(caught.value) == f"s.toml: {place}: expected a table, found {value!r}"
