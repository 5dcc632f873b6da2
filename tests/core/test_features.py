"""The cache of features: what decides a key, damage, several writers; digests of weights."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.inference.features import FeatureCache, digest_module

DECIDES: dict[str, Any] = {"what": "logits", "model": {"options": {"a": 1}}, "split": "test", "limit": None}


def never() -> Any:
    raise AssertionError("computed again")


def test_computed_once_then_read_by_anyone(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    cache = FeatureCache(tmp_path)
    assert cache.get(DECIDES, lambda: array) is array
    assert cache.get(dict(reversed(DECIDES.items())), never) is array
    other = FeatureCache(tmp_path)
    read = other.get(DECIDES, never)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.float32
    assert (cache.computed, other.computed) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"what": "image embeddings"},
        {"model": {"options": {"a": 2}}},
        {"split": "train"},
        {"limit": 5},
        {"new": 1},
    ],
)
def test_every_part_of_the_key_decides(tmp_path: Path, change: dict[str, Any]) -> None:
    cache = FeatureCache(tmp_path)
    cache.get(DECIDES, lambda: np.zeros(1))
    assert cache.get({**DECIDES, **change}, lambda: np.ones(1)).tolist() == [1.0]


def test_switched_off_it_writes_nothing(tmp_path: Path) -> None:
    FeatureCache(tmp_path, enabled=False).get(DECIDES, lambda: np.zeros(1))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_computation_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        FeatureCache(tmp_path).get(DECIDES, never)
    assert not list(tmp_path.rglob("*.npy*"))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_computed_again(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    array = np.arange(4, dtype=np.float32)
    FeatureCache(folder).get(DECIDES, lambda: array)
    (path,) = folder.rglob("*.npy")
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    place = data.draw(st.integers(0, 127))  # in the header: what a changed number looks like no one can tell
    byte = data.draw(st.integers(0, 255))
    for damaged in (whole[:cut], whole[:place] + bytes([byte]) + whole[place + 1 :]):
        path.write_bytes(damaged)
        got = FeatureCache(folder).get(DECIDES, lambda: array)
        if damaged[:128] != whole[:128] and got.dtype == array.dtype and got.shape == array.shape:
            np.testing.assert_array_equal(np.sort(got), array)


def test_of_several_that_want_an_array_at_once_one_computes_it(tmp_path: Path) -> None:
    computed, results = [], []

    def write() -> None:
        def compute() -> Any:
            computed.append(threading.get_ident())
            return np.full(500_000, 7.0)

        results.append(FeatureCache(tmp_path).get(DECIDES, compute))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.sum() for r in results] == [3_500_000.0] * 4
    assert len(computed) == 1
    assert FeatureCache(tmp_path).get(DECIDES, never).sum() == 3_500_000.0


def test_memory_holds_only_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.inference.features.MEMORY_LIMIT", 2000)
    cache = FeatureCache(tmp_path)
    for n in range(5):
        cache.get({"n": n}, lambda: np.zeros(100))
    assert len(cache._recent) == 2
    cache.get({"n": 0}, never)


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2).to(torch.bfloat16)
    )


def test_the_digest_is_of_the_weights_alone() -> None:
    assert digest_module(net()) == digest_module(net())
    layout = net().to(memory_format=torch.channels_last).eval().requires_grad_(False)
    assert digest_module(layout) == digest_module(net())


@pytest.mark.parametrize("name", list(net().state_dict()))
def test_the_digest_changes_with_any_tensor(name: str) -> None:
    changed = net()
    with torch.no_grad():
        changed.state_dict()[name].reshape(-1)[-1:].add_(1)
    assert digest_module(changed) != digest_module(net())


def test_the_digest_sees_types_names_and_shapes() -> None:
    def one(name: str, tensor: torch.Tensor) -> str:
        module = torch.nn.Module()
        module.register_buffer(name, tensor)
        return digest_module(module)

    zeros = torch.zeros(4)
    made = [
        one("a", zeros),
        one("b", zeros),
        one("a", zeros.reshape(2, 2)),
        one("a", zeros.int()),
        one("a", torch.tensor(0)),
    ]
    assert len(set(made)) == len(made)


def test_a_cache_that_can_not_be_written_is_told_once_and_does_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = FeatureCache(tmp_path / "file")
    for n in range(2):
        assert cache.get({"n": n}, lambda n=n: np.array([n]))[0] == n  # type: ignore[misc]
    assert cache.computed == 2
    (said,) = caplog.messages
    assert str(tmp_path / "file") in said
    assert "--cache or $HARNESS_CACHE" in said


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(one[k], other[k]) for k in one)
        )
    return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))


def boxes(count: int) -> dict[str, Any]:
    return {"boxes": np.full((count, 4), count, np.float32), "labels": np.arange(count)}


TREES: dict[str, Any] = {
    "detections": [boxes(n) for n in (2, 0, 5)],
    "dict": {"a": np.arange(3), "b": {"c": np.zeros((3, 2), np.float32)}, 4: np.array([True])},
    "tuple": (np.arange(3), [np.zeros(1), np.zeros(2)]),
    "maps of several sizes": [np.zeros((2, 3), np.uint8), np.ones((4, 5), np.uint8)],
    "unlike entries": [{"a": np.arange(2)}, {"b": np.arange(1)}],
    "none": [],
    "none found": [np.zeros((0, 4)), np.zeros((0, 4))],
    "single numbers": [np.array(1.0), np.array(2.0)],
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_trees_come_back_as_they_were(tmp_path: Path, tree: Any) -> None:
    assert same(FeatureCache(tmp_path).get(DECIDES, lambda: tree), tree)
    assert same(FeatureCache(tmp_path).get(DECIDES, never), tree)
    assert [p.suffix for p in tmp_path.rglob("*.np*")] == [".npz"]


def test_tensors_become_arrays(tmp_path: Path) -> None:
    found = FeatureCache(tmp_path).get(DECIDES, lambda: [{"labels": torch.arange(2)}])
    assert same(found, [{"labels": np.arange(2)}])


def test_a_damaged_tree_is_computed_again(tmp_path: Path) -> None:
    FeatureCache(tmp_path).get(DECIDES, lambda: TREES["detections"])
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:-40])
    assert same(FeatureCache(tmp_path).get(DECIDES, lambda: TREES["dict"]), TREES["dict"])
    assert same(FeatureCache(tmp_path).get(DECIDES, never), TREES["dict"])


def test_many_detections_are_few_arrays(tmp_path: Path) -> None:
    FeatureCache(tmp_path).get(DECIDES, lambda: [boxes(n % 4) for n in range(500)])
    (file,) = tmp_path.rglob("*.npz")
    with np.load(file) as held:
        assert len(held.files) == 5  # boxes and labels with their lengths, and the shape
