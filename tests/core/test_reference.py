"""References to plugins: the short form, tables, grids, labels, tags."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.discovery.reference import Reference, fill, parse_references, parse_short, parse_value
from harness.errors import SuiteError


@pytest.mark.parametrize(
    ("text", "plugin", "value", "options"),
    [
        ("timm", "timm", None, {}),
        ("timm:resnet50.a1_in1k", "timm", "resnet50.a1_in1k", {}),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip", "ViT-B-32/laion2b_s34b_b79k", {}),
        ("imagefolder:/data/pets", "imagefolder", "/data/pets", {}),
        ("arrays:C:/x.npz", "arrays", "C:/x.npz", {}),
        ("timm:r18?pretrained=false&size=224", "timm", "r18", {"pretrained": False, "size": 224}),
        ("timm?size=[1,2]&name=x", "timm", None, {"size": [1, 2], "name": "x"}),
        ("dist/timm:r18", "dist/timm", "r18", {}),
        ("a:b?text=x%26y%3Dz", "a", "b", {"text": "x&y=z"}),
        ("a?text=%223%22", "a", None, {"text": "3"}),
        ("a:", "a", None, {}),
    ],
)
def test_short_form(text: str, plugin: str, value: str | None, options: dict[str, object]) -> None:
    assert parse_short(text) == Reference(plugin, options, value)


@pytest.mark.parametrize("text", ["", ":x", " :x", "?a=1"])
def test_short_form_needs_a_plugin(text: str) -> None:
    with pytest.raises(SuiteError, match="expected a plugin name"):
        parse_short(text)


def test_short_form_option_without_value() -> None:
    with pytest.raises(SuiteError, match="expected option=value after '\\?', found 'flag'"):
        parse_short("a:b?flag")


@given(st.text())
def test_any_text_is_read_or_refused_in_one_way(text: str) -> None:
    with contextlib.suppress(SuiteError):
        assert parse_short(text).plugin


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.5", 3.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('"3"', "3"),
        ("resnet", "resnet"),
        ("a b", "a b"),
    ],
)
def test_values_as_toml_reads_them(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_value_can_not_smuggle_a_second_key() -> None:
    assert parse_value("1\nw = 2") in (1, "1\nw = 2")


def test_table_options_beside_plugin_and_under_options() -> None:
    (reference,) = parse_references(
        {
            "plugin": "timm:r18",
            "pretrained": False,
            "options": {"label": "x"},
            "label": "R",
            "tags": {"a": 1},
        },
        "w",
    )
    assert reference == Reference("timm", {"pretrained": False, "label": "x"}, "r18", "R", {"a": 1})
    assert reference.shown == "R"


def test_shown_is_label_else_value_else_plugin() -> None:
    assert [
        Reference("p").shown,
        Reference("p", value="v").shown,
        Reference("p", value="v", label="l").shown,
    ] == [
        "p",
        "v",
        "l",
    ]


def test_grid_is_the_product_with_labels_and_tags() -> None:
    made = parse_references(
        {"plugin": "c:digits", "kind": "x", "grid": {"noise": ["a", "b"], "severity": [1, 2, 3]}}, "w"
    )
    assert [(r.options["noise"], r.options["severity"]) for r in made] == [
        (n, s) for n in "ab" for s in (1, 2, 3)
    ]
    assert all(r.options["kind"] == "x" and r.value == "digits" for r in made)
    assert made[0].point == {"noise": "a", "severity": 1}
    assert made[5].tags == {"noise": "b", "severity": 3}
    assert len({str(r.point) for r in made}) == 6


def test_grid_fills_label_and_tags() -> None:
    made = parse_references(
        {
            "plugin": "c",
            "grid": {"s": [1, 2]},
            "label": "level {s} {other}",
            "tags": {"group": "g{s}", "n": 7},
        },
        "w",
    )
    assert [r.label for r in made] == ["level 1 {other}", "level 2 {other}"]
    assert made[1].tags == {"s": 2, "group": "g2", "n": 7}
    plain = parse_references({"plugin": "c", "grid": {"s": [1, 2]}, "label": "level"}, "w")
    assert [r.label for r in plain] == ["level (1)", "level (2)"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (3, "expected 'plugin:value' or a table"),
        ({}, "expected 'plugin:value' or a table"),
        ({"plugin": 3}, "expected 'plugin:value' or a table"),
        ({"plugin": "a", "label": 3}, "label must be a text, found 3"),
        ({"plugin": "a", "tags": "x"}, "tags must be a table, found 'x'"),
        ({"plugin": "a", "options": "x"}, "options must be a table, found 'x'"),
        ({"plugin": "a", "grid": {"x": []}}, "grid must be a table of non-empty lists"),
        ({"plugin": "a", "grid": {"x": 3}}, "grid must be a table of non-empty lists"),
        ({"plugin": "a", "grid": [1]}, "grid must be a table of non-empty lists"),
    ],
)
def test_wrong_entries_are_named_with_their_place(entry: object, words: str) -> None:
    with pytest.raises(SuiteError, match=f"^models.2: {words}"):
        parse_references(entry, "models.2")


def test_fill_interprets_nothing_else() -> None:
    assert fill("{a.__class__} {a} {0} {{", {"a": 1}) == "{a.__class__} 1 {0} {{"
