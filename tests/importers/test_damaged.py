"""Files with anything in any place are read, or refused in one line; no importer fails on them."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError
from harness.contract.declared import ask
from harness.exchange.reading import read_file
from harness.exchange.recognising import open_importer

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["12.5", "%", "ok", "8/255"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places_in(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places_in(inner, (*path, key))


def with_other(value, path, other):
    """The value with something else at a place."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_other(value[path[0]], path[1:], other)
    return copy


@pytest.mark.parametrize("name", ["clip_benchmark", "robustbench", "lm_eval", "lmms_eval"])
@settings(max_examples=150)
@given(data=st.data())
def test_anything_in_any_place(tmp_path_factory, name, data):
    by = open_importer(name)
    content = json.loads(by.importer.example)
    place = data.draw(st.sampled_from(list(places_in(content))))
    path = tmp_path_factory.mktemp("json") / (ask(by.importer, "example_name") or "a.json")
    path.write_text(json.dumps(with_other(content, place, data.draw(JSON))))
    told = f"{path}: read"
    try:
        found = read_file(by, path)
        assert found.results
    except DataError as error:
        told = str(error)
    assert told.startswith(f"{path}: ")
    assert "\n" not in told


CSV = {
    "clip_benchmark": ("benchmark.csv", "a.csv"),
    "timm": ("results-imagenet.csv", "results-imagenet.csv"),
    "open_clip": ("openclip_retrieval_results.csv", "a.csv"),
    "robustbench": ("robustbench/imagenet/corruptions/unaggregated_results.csv", "imagenet/a.csv"),
}


@pytest.mark.parametrize("name", CSV)
@settings(max_examples=100)
@given(draw=st.data(), other=st.binary(max_size=12))
def test_any_bytes_in_any_place_of_a_table(tmp_path_factory, name, draw, other):
    source, target = CSV[name]
    content = Path(__file__).with_name("data").joinpath(source).read_bytes()
    place = draw.draw(st.integers(0, len(content)))
    path = tmp_path_factory.mktemp("csv") / target
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content[:place] + other + content[place + draw.draw(st.integers(0, 12)) :])
    by = open_importer(name)
    assert by.importer.recognise(path) in (True, False)
    told = f"{path}: read"
    try:
        found = read_file(by, path)
        assert all(line.startswith(f"{path}: line ") for line in found.unread)
    except DataError as error:
        told = str(error)
    assert told.startswith(f"{path}: ")
    assert "\n" not in told
