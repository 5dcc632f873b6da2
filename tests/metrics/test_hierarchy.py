"""Trees of classes: what is no tree, and metrics of mistakes against brute force over parents."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.contract.evidence import Predictions
from harness.errors import DataError, OptionError
from harness_metrics.class_tree import ROOT, find_tree, parse_tree
from harness_metrics.classification import Top1
from harness_metrics.hierarchy import AccuracyPerLevel, HierarchicalPrecision, MistakeSeverity

ANIMALS = {"animal": {"mammal": {"dog": {}, "cat": {}, "whale": {}}, "bird": {"owl": {}}}, "rock": {}}
LINES = "dog\tmammal\ncat\tmammal\n\nmammal\tanimal\n# birds\nbird\tanimal\nowl\tbird\nwhale\tmammal\n"


def predictions(predicted, targets, names):
    logits = np.eye(len(names))[np.asarray(predicted)]
    return Predictions(logits, np.asarray(targets), [f"s{n}" for n in range(len(targets))], names)


@pytest.fixture
def tree(tmp_path):
    def make(nested):
        path = tmp_path / "tree.json"
        path.write_text(json.dumps(nested))
        return path

    return make


def test_lines_and_nested_names_are_the_same_tree():
    lines = parse_tree(LINES, "x")
    nested = parse_tree(json.dumps({"animal": ANIMALS["animal"]}), "x")
    assert (dict(lines.paths), dict(lines.heights)) == (dict(nested.paths), dict(nested.heights))
    assert lines.paths["cat"] == ("mammal", "cat")
    assert (lines.heights["animal"], lines.heights["bird"], lines.heights["owl"]) == (2, 1, 0)


def test_several_outermost_names_get_a_root():
    forest = parse_tree(json.dumps(ANIMALS), "x")
    assert forest.paths["cat"] == ("animal", "mammal", "cat")
    assert (forest.paths["rock"], forest.paths[ROOT], forest.heights[ROOT]) == (("rock",), (), 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\nb\tc\nc\ta\n", "tree: 'a' is above itself: a > b > c > a"),
        ("a\ta\n", "tree: 'a' is above itself: a > a"),
        ("a\tr\nb\tc\nc\tb\n", "tree: 'b' is above itself: b > c > b"),
        ("a\tr\nb\tr\na\tb\n", "tree:3: 'a' has the parent 'b', and 'r' in line 1"),
        ("a\tr\nb\tq\n", "tree: 'q' and 'r' have no parent; only the root may have none"),
        ("a\tr\nb r\n", "tree:2: expected child and parent with a tab between, found 'b r'"),
        ("a\tr\n\tr\n", "tree:2: expected child and parent"),
        ("# nothing\n", "tree: holds no class"),
        ("{}", "tree: holds no class"),
        ('{"r": {"a": {}, "b": {"a": {}}}}', "tree: 'a' stands twice, below 'r' and below 'b'"),
        ('{"r": {"a": {}, "a": {}}}', "tree: 'a' stands twice, below 'r' and below 'r'"),
        ('{"r": {}, "r": {}}', "tree: 'r' stands twice, below no other and below no other"),
        ('{"r": {"a": null}}', "tree: below 'a' expected an object, {} for a leaf, found None"),
        ('{"r": {"a": ["b"]}}', "tree: below 'a' expected an object"),
        ('{"r": {" ": {}}}', "tree: a name below 'r' is empty"),
        ('{"r": {', "tree: is no JSON"),
    ],
)
def test_what_is_no_tree_is_refused_in_one_line(text, message):
    with pytest.raises(DataError) as caught:
        parse_tree(text, "tree")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_that_the_tree_lacks_or_that_contains_all_is_refused(tree):
    severity = MistakeSeverity(tree({"animal": ANIMALS["animal"]}))
    with pytest.raises(DataError, match=r"tree\.json: has no class 'whales'; did you mean 'whale'"):
        severity(predictions([0, 1], [0, 1], ["dog", "whales"]))
    with pytest.raises(DataError, match="class 'animal' is the root"):
        severity(predictions([0, 1], [0, 1], ["dog", "animal"]))
    with pytest.raises(DataError, match="classes 'dog' and 'Dog' are both 'dog'"):
        severity(predictions([0, 1], [0, 1], ["dog", "Dog"]))
    with pytest.raises(DataError, match="the predictions have 0 for 2 classes"):
        severity(Predictions(np.eye(2), np.arange(2), ["a", "b"]))


def test_names_match_without_regard_to_case_and_separators(tree):
    found = parse_tree('{"r": {"polar_bear": {}, "Lynx": {}}}', "x").match(["Polar bear", "lynx"])
    assert found.paths == [("polar_bear",), ("Lynx",)]


def test_a_tree_is_a_file_or_packaged(tmp_path, monkeypatch):
    assert find_tree("ten-classes").is_file()
    with pytest.raises(OptionError, match=r"there is no file 'ten-clases'.*did you mean 'ten-classes'"):
        find_tree("ten-clases")
    assert "no file 'missing.json'" in MistakeSeverity("missing.json").unavailable()
    (tmp_path / "own.tsv").write_text("a\tr\nb\tr\n")
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path))
    metric = MistakeSeverity("own.tsv")
    before = metric.fingerprint()
    (tmp_path / "own.tsv").write_text("a\tr\nb\tr\nc\tr\n")
    assert metric.fingerprint() != before


def test_siblings_at_depth_three(tree):
    """Two of three ancestors are shared: precision and recall are two thirds, right at two of three levels."""
    deep = tree({"root": {"a": {"b": {"x": {}, "y": {}}}, "c": {}}})
    mistaken = predictions([0, 0], [1, 1], ["x", "y"])
    scores = HierarchicalPrecision(deep)(mistaken)
    assert scores == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f": 2 / 3})
    assert MistakeSeverity(deep)(mistaken) == 1
    assert AccuracyPerLevel(deep)(mistaken) == {"1": 1, "2": 1, "3": 0}


def test_severity_is_of_mistakes_alone(tree):
    names = ["dog", "cat", "owl", "rock"]
    one = tree(ANIMALS)
    assert MistakeSeverity(one)(predictions([0, 1, 2, 3], [0, 1, 2, 3], names)) == 0
    # right, mammals (height 1), animals (2), all (3)
    assert MistakeSeverity(one)(predictions([0, 1, 2, 3], [0, 0, 0, 0], names)) == pytest.approx(
        (1 + 2 + 3) / 3
    )


def test_unequal_depths_by_hand(tree):
    # rock is {rock}, dog is {animal, mammal, dog}: nothing shared; owl and dog share {animal}
    scores = HierarchicalPrecision(tree(ANIMALS))(predictions([1, 2], [0, 0], ["dog", "rock", "owl"]))
    assert scores == pytest.approx({"precision": 1 / (1 + 3), "recall": 1 / (3 + 3), "f": 2 * 1 / (4 + 6)})


@st.composite
def drawn_trees(draw):
    """Parents of 3 to 14 nodes, node 0 the root; classes among the others, and predictions over them."""
    count = draw(st.integers(3, 14))
    parents = {n: draw(st.integers(0, n - 1)) for n in range(1, count)}
    classes = draw(st.lists(st.sampled_from(range(1, count)), min_size=2, unique=True))
    pairs = draw(st.lists(st.tuples(*[st.integers(0, len(classes) - 1)] * 2), min_size=1, max_size=20))
    return parents, classes, pairs


@settings(max_examples=120, deadline=None)
@given(drawn_trees())
def test_all_metrics_agree_with_brute_force(tmp_path_factory, drawn):
    parents, classes, pairs = drawn
    path = tmp_path_factory.getbasetemp() / "drawn.tsv"
    path.write_text("".join(f"n{child}\tn{parent}\n" for child, parent in parents.items()))
    evidence = predictions([p for p, _ in pairs], [t for _, t in pairs], [f"n{c}" for c in classes])

    def ancestors(node):
        return [node, *ancestors(parents[node])] if node in parents else [node]

    def height(node):
        return max((1 + height(n) for n in parents if parents[n] == node), default=0)

    def at(node, level):
        chain = ancestors(node)[::-1]
        return chain[min(level, len(chain) - 1)]

    nodes = [(classes[p], classes[t]) for p, t in pairs]
    severities = [height(next(n for n in ancestors(p) if n in ancestors(t))) for p, t in nodes if p != t]
    assert MistakeSeverity(path)(evidence) == pytest.approx(np.mean(severities) if severities else 0)
    shared = sum(len(({*ancestors(p)} & {*ancestors(t)}) - {0}) for p, t in nodes)
    said, true = (sum(len(ancestors(pair[side])) - 1 for pair in nodes) for side in (0, 1))
    scores = HierarchicalPrecision(path)(evidence)
    assert scores["precision"] == pytest.approx(shared / said)
    assert scores["recall"] == pytest.approx(shared / true)
    f = 2 * shared / (said + true)
    assert scores["f"] == pytest.approx(f)
    levels = AccuracyPerLevel(path)(evidence)
    deepest = max(len(ancestors(c)) - 1 for c in classes)
    expected = {
        str(level): np.mean([at(p, level) == at(t, level) for p, t in nodes])
        for level in range(1, deepest + 1)
    }
    assert levels == pytest.approx(expected)
    assert levels[str(deepest)] == pytest.approx(Top1()(evidence))
    assert list(levels.values()) == sorted(levels.values(), reverse=True)
