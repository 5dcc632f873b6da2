"""Features of one machine reach another bit for bit, and are computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import BucketError
from harness.inference.features import FeatureCache
from harness.mirroring.bucket import Bucket, open_bucket
from harness.mirroring.remote_features import RemoteFeatures

DECIDES: dict[str, Any] = {"what": "logits", "split": "test"}
ARRAY = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
TREE = {"tokens": ARRAY.astype(np.float16), "masks": [np.array([True, False]), np.array([np.nan, -0.0])]}


def never() -> Any:
    raise AssertionError("computed again")


@pytest.mark.parametrize("value", [ARRAY, TREE], ids=["array", "tree"])
def test_computed_once_and_equal_to_the_bit(tmp_path: Path, any_url: str, value: Any) -> None:
    one, two = RemoteFeatures(any_url), RemoteFeatures(any_url)
    FeatureCache(tmp_path / "one", remote=one).get(DECIDES, lambda: value)
    one.flush()
    cache = FeatureCache(tmp_path / "two", remote=two)
    read = cache.get(DECIDES, never)
    assert cache.computed == 0
    found = [read] if isinstance(value, np.ndarray) else [read["tokens"], *read["masks"]]
    given = [value] if isinstance(value, np.ndarray) else [value["tokens"], *value["masks"]]
    assert [(a.dtype, a.shape, a.tobytes()) for a in found] == [
        (a.dtype, a.shape, a.tobytes()) for a in given
    ]
    assert len([*(tmp_path / "two").rglob("*.np?")]) == 1
    assert FeatureCache(tmp_path / "two").get(DECIDES, never) is not None


def test_a_damaged_file_is_computed_again(tmp_path: Path, url: str) -> None:
    one = RemoteFeatures(url)
    FeatureCache(tmp_path / "one", remote=one).get(DECIDES, lambda: ARRAY)
    one.flush()
    (name,) = [found.name for found in open_bucket(url).list("features")]
    open_bucket(url).put(name, b"\x93NUMPY nonsense")
    cache = FeatureCache(tmp_path / "two", remote=RemoteFeatures(url))
    assert cache.get(DECIDES, lambda: ARRAY) is ARRAY
    assert cache.computed == 1


def test_a_bucket_that_fails_costs_one_try_and_one_warning(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    tries = []

    def fail(self: Bucket, name: str, *_: Any) -> Any:
        tries.append(name)
        raise BucketError(f"{url}: can't be reached")

    monkeypatch.setattr(Bucket, "download", fail)
    monkeypatch.setattr(Bucket, "put", fail)
    remote = RemoteFeatures(url)
    cache = FeatureCache(tmp_path / "one", remote=remote)
    for n in range(5):
        cache.get({**DECIDES, "n": n}, lambda: ARRAY)
    remote.flush()
    assert len(tries) == 1
    assert [r.getMessage() for r in caplog.records] == [
        f"harness: {url}: can't be reached; what is computed is not shared there for now"
    ]


def test_a_cache_that_is_switched_off_asks_nobody(tmp_path: Path, url: str) -> None:
    remote = RemoteFeatures(url)
    FeatureCache(tmp_path, enabled=False, remote=remote).get(DECIDES, lambda: ARRAY)
    remote.flush()
    assert list(open_bucket(url).list()) == []
