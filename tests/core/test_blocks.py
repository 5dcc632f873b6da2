"""Features in blocks that several workers share: equal to one pass, each computed once, whatever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.contract.data import Sample
from harness.inference import shared_blocks
from harness.inference.blocks import InBlocks, cut_blocks, forward_in_blocks
from harness.inference.features import FeatureCache, StoppedEarly
from harness.long_work import hearing_long_work
from harness.records.leases import Leases, list_leases
from harness.running.devices import one_thread

DECIDES = {"what": "embeddings"}
COUNT, BATCH = 43, 4
PROCESS = Path(__file__).with_name("blocks_process.py")


@given(count=st.integers(0, 5000), batch_size=st.integers(1, 70), batches=st.integers(1, 60))
def test_blocks_are_whole_batches_laid_end_to_end(count: int, batch_size: int, batches: int) -> None:
    cuts = cut_blocks(count, batch_size, batches)
    assert [n for start, stop in cuts for n in range(start, stop)] == list(range(count))
    assert all(start % batch_size == 0 for start, _ in cuts)
    assert all(stop % batch_size == 0 for _, stop in cuts[:-1])
    sizes = [-(-(stop - start) // batch_size) for start, stop in cuts]
    assert max(sizes) <= batches
    assert max(sizes) - min(sizes) <= 1
    assert len(cuts) == max(1, -(-len(range(0, count, batch_size)) // batches))


# ------------------------------------------------------------------ equal to one pass


class Noise:
    """Images of noise, each with a seed of its own."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Sample:
        generator = np.random.default_rng(index)
        return Sample(f"n{index}", generator.integers(0, 256, (32, 32, 3), dtype=np.uint8))


def prepare(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image)).permute(2, 0, 1).float().div(255)


@pytest.fixture(scope="module", params=["vit", "resnet"])
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    import timm

    torch.manual_seed(0)
    if request.param == "vit":
        vit = timm.create_model(
            "vit_tiny_patch16_224", pretrained=False, img_size=32, patch_size=8, num_classes=7
        )
        return vit.eval()
    return timm.create_model("resnet10t", pretrained=False, num_classes=7).eval()


def network_blocks(forward: Any, told: list[tuple[int, int]], rows: Any = None, **options: Any) -> Any:
    job: Any = SimpleNamespace(
        model=None,
        device=torch.device("cpu"),
        batch_size=BATCH,
        precision=options.pop("precision", "float32"),
        workers=options.pop("workers", 0),
        advance=lambda done, total: told.append((done, total)),
    )
    return forward_in_blocks(job, forward, Noise(), lambda: prepare, rows=rows, batches=3, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rows", [None, np.random.default_rng(0).permutation(COUNT)[:30]], ids=["all", "rows"]
)
@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"precision": "bfloat16"}], ids=str)
def test_blocks_equal_one_pass_to_the_last_bit(
    network: torch.nn.Module, rows: Any, options: Any, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    with one_thread():
        whole = FeatureCache(enabled=False).get(DECIDES, network_blocks(network, [], rows, **options))
        cache = FeatureCache(tmp_path)
        work = network_blocks(network, told, rows, **options)
        found = cache.get(DECIDES, work)
    assert len(work.cuts) > 2
    assert found.dtype == np.float32
    assert found.tobytes() == whole.tobytes()
    assert FeatureCache(tmp_path).get(DECIDES, never()).tobytes() == whole.tobytes()
    assert cache.computed == 1
    assert [p.suffix for p in tmp_path.rglob("*") if p.is_file()] == [".npy"]
    total = COUNT if rows is None else len(rows)
    assert told[-1] == (total, total)
    assert told == sorted(told)


def test_blocks_of_trees_are_joined_leaf_by_leaf(tmp_path: Path) -> None:
    def forward(images: torch.Tensor) -> Any:
        level = images.mean(dim=(1, 2, 3))
        boxes = [{"boxes": row.repeat(n % 3, 4)} for n, row in enumerate(level)]
        return {"level": level, "pair": (images[:, 0, 0], (level * 9).long()), "boxes": boxes}

    whole = FeatureCache(enabled=False).get(DECIDES, network_blocks(forward, []))
    found = FeatureCache(tmp_path).get(DECIDES, network_blocks(forward, []))
    assert found.keys() == whole.keys()
    assert found["level"].tobytes() == whole["level"].tobytes()
    assert [a.tobytes() for a in found["pair"]] == [a.tobytes() for a in whole["pair"]]
    assert len(found["boxes"]) == COUNT
    assert [b["boxes"].tobytes() for b in found["boxes"]] == [b["boxes"].tobytes() for b in whole["boxes"]]


# ------------------------------------------------------------------ one worker


def row(start: int, stop: int) -> Any:
    return np.arange(start, stop, dtype=np.float32)[:, None] * [1, 10]


def numbers(computed: list[tuple[int, int]], count: int = 60, size: int = 10, **more: Any) -> InBlocks[Any]:
    """Rows n, 10·n in blocks of ten; what is computed is noted."""

    def compute(start: int, stop: int, advance: Callable[[int, int], None]) -> Any:
        computed.append((start, stop))
        advance(stop - start, stop - start)
        return row(start, stop)

    return InBlocks(
        **{"count": count, "batch_size": 5, "place": "cpu", "compute": compute, "batches": size // 5, **more}
    )


def never() -> InBlocks[Any]:
    def compute(*_: Any) -> Any:
        raise AssertionError("computed again")

    return InBlocks(60, 5, "cpu", compute, batches=2)


TENS = [(n, n + 10) for n in range(0, 60, 10)]


def test_a_split_of_one_block_takes_one_pass_and_no_lease(tmp_path: Path) -> None:
    computed: list[tuple[int, int]] = []
    FeatureCache(tmp_path).get(DECIDES, numbers(computed, count=10))
    assert computed == [(0, 10)]
    assert not (tmp_path / "leases").exists()


@pytest.mark.parametrize("enabled", [True, False])
def test_without_a_cache_folder_one_pass_is_made(tmp_path: Path, enabled: bool) -> None:
    (tmp_path / "file").touch()
    computed: list[tuple[int, int]] = []
    cache = FeatureCache(tmp_path / "file", enabled)
    for _ in range(2):
        assert np.array_equal(cache.get(DECIDES, numbers(computed)), row(0, 60))
    assert computed == [(0, 60)]
    assert cache.computed == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_with_a_cache_that_is_read_only_one_pass_is_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    computed: list[tuple[int, int]] = []
    assert np.array_equal(FeatureCache(tmp_path).get(DECIDES, numbers(computed)), row(0, 60))
    assert computed == [(0, 60)]


def test_a_full_disk_costs_nothing_but_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_blocks, "write_tree", lambda *_: False)
    computed: list[tuple[int, int]] = []
    assert np.array_equal(FeatureCache(tmp_path).get(DECIDES, numbers(computed)), row(0, 60))
    assert computed == TENS
    assert not list_leases(tmp_path / "leases")


def test_a_failure_leaves_the_blocks_that_were_done(tmp_path: Path) -> None:
    computed: list[tuple[int, int]] = []
    work = numbers(computed)

    def fails(start: int, stop: int, advance: Any) -> Any:
        if start == 30:
            raise ValueError("the fourth block")
        return work.compute(start, stop, advance)

    with pytest.raises(ValueError, match="the fourth block"):
        FeatureCache(tmp_path).get(DECIDES, replace(work, compute=fails))
    assert computed == TENS[:3]
    assert not list_leases(tmp_path / "leases")
    assert np.array_equal(FeatureCache(tmp_path).get(DECIDES, work), row(0, 60))
    assert computed == TENS


def test_blocks_that_others_made_count_as_done(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    with pytest.raises(StoppedEarly), cache.stopping_when(iter([False] * 4 + [True]).__next__):
        cache.get(DECIDES, numbers([]))
    computed: list[tuple[int, int]] = []
    told: list[tuple[int, int]] = []
    work = numbers(computed, advance=lambda done, total: told.append((done, total)))
    FeatureCache(tmp_path).get(DECIDES, work)
    first = computed[0][0]
    assert first > 0
    assert told[0] == (first, 60)
    assert told[-1] == (60, 60)


@pytest.mark.parametrize("length", [0, 20, 400])
def test_a_damaged_block_is_computed_again(tmp_path: Path, length: int) -> None:
    cache = FeatureCache(tmp_path)
    with pytest.raises(StoppedEarly), cache.stopping_when(iter([False] * 4 + [True]).__next__):
        cache.get(DECIDES, numbers([]))
    kept = sorted(tmp_path.rglob("*.npz"))
    assert kept
    kept[0].write_bytes(kept[0].read_bytes()[:length])
    assert np.array_equal(FeatureCache(tmp_path).get(DECIDES, numbers([])), row(0, 60))


@pytest.mark.parametrize("change", [{"batch_size": 2, "batches": 5}, {"place": "H200"}], ids=str)
def test_blocks_of_other_batches_or_devices_are_not_mixed(tmp_path: Path, change: Any) -> None:
    cache = FeatureCache(tmp_path)
    with pytest.raises(StoppedEarly), cache.stopping_when(iter([False] * 4 + [True]).__next__):
        cache.get(DECIDES, numbers([]))
    computed: list[tuple[int, int]] = []
    FeatureCache(tmp_path).get(DECIDES, numbers(computed, **change))
    assert computed == TENS
    assert not list(tmp_path.rglob("*.npz"))


def test_a_wanted_worker_stops_after_its_block(tmp_path: Path) -> None:
    computed: list[tuple[int, int]] = []
    cache = FeatureCache(tmp_path)
    with pytest.raises(StoppedEarly), cache.stopping_when(lambda: len(computed) == 2):
        cache.get(DECIDES, numbers(computed))
    assert computed == TENS[:2]
    with pytest.raises(StoppedEarly), cache.stopping_when(lambda: True):
        cache.get({"what": "text"}, lambda: np.zeros(1))
    cache.get(DECIDES, numbers(computed))
    assert computed == TENS


def test_a_wanted_worker_does_not_wait_for_others(tmp_path: Path) -> None:
    others = Leases(tmp_path / "leases")
    work = numbers([])
    for n in range(len(work.cuts)):
        assert others.take(lease_of(tmp_path, work, n)) is None
    cache = FeatureCache(tmp_path)
    looks = iter([False] * 4 + [True])
    with pytest.raises(StoppedEarly), cache.stopping_when(lambda: next(looks)):
        cache.get(DECIDES, never())
    others.close()


def test_the_speed_is_that_of_one_worker(tmp_path: Path) -> None:
    """Blocks that others made count with their own seconds."""
    speeds: list[float] = []

    def finish(tree: Any, rate: float) -> Any:
        speeds.append(rate)
        return tree

    def compute(start: int, stop: int, advance: Any) -> Any:
        time.sleep(0.05)
        return row(start, stop)

    work = numbers([], compute=compute, finish=finish)
    cache = FeatureCache(tmp_path)
    with pytest.raises(StoppedEarly), cache.stopping_when(iter([False] * 5 + [True]).__next__):
        cache.get(DECIDES, work)
    FeatureCache(tmp_path).get(DECIDES, work)
    assert len(speeds) == 1
    assert speeds[0] <= 10 / 0.05


# ------------------------------------------------------------------ several workers


def lease_of(folder: Path, work: InBlocks[Any], block: int) -> str:
    """The id of a block's lease, as the cache makes it."""
    import hashlib

    from harness.contract.cells import canonical_json

    key = hashlib.sha256(canonical_json(DECIDES).encode()).hexdigest()[:32]
    path = folder / key[:2] / key
    return shared_blocks.SharedBlocks(path, folder, work, "x", lambda: None)._lease(block)


def test_threads_share_the_blocks_and_get_the_same(tmp_path: Path) -> None:
    computed: list[tuple[int, int]] = []
    barrier, results = threading.Barrier(4), []
    cache = FeatureCache(tmp_path)

    def work(own: FeatureCache) -> None:
        barrier.wait()
        results.append(own.get(DECIDES, numbers(computed)))

    caches = [cache, cache, FeatureCache(tmp_path), FeatureCache(tmp_path)]
    threads = [threading.Thread(target=work, args=[own]) for own in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found, row(0, 60)) for found in results)
    assert len(results) == 4
    assert sorted(computed) == TENS


def test_the_lease_of_a_silent_worker_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Leases(tmp_path / "leases", beat_every=1e6)
    silent.take(lease_of(tmp_path, numbers([]), 2))
    monkeypatch.setattr(shared_blocks, "Leases", partial(Leases, stale_after=0.3))
    computed: list[tuple[int, int]] = []
    assert np.array_equal(FeatureCache(tmp_path).get(DECIDES, numbers(computed)), row(0, 60))
    assert computed == [*TENS[:2], *TENS[3:], TENS[2]]
    silent.close()


def test_a_worker_that_lives_and_hangs_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_blocks, "PATIENCE", 0.2)
    hanging = Leases(tmp_path / "leases")
    work = numbers([])
    for block in (1, len(work.cuts)):  # a block, and the joining
        hanging.take(lease_of(tmp_path, work, block))
    computed: list[tuple[int, int]] = []
    told: list[str] = []
    with hearing_long_work(told.append):
        assert np.array_equal(FeatureCache(tmp_path).get(DECIDES, numbers(computed)), row(0, 60))
    who = f"waiting for process {os.getpid()} on host {socket.gethostname()}"
    assert told[:2] == [f"{who}, which computes a part of the embeddings", ""]
    assert sorted(computed) == TENS
    assert len(list_leases(tmp_path / "leases")) == 2
    hanging.close()


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that gets an array of 60 rows in blocks of ten, see `blocks_process`."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(name: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(PROCESS), str(tmp_path), name, json.dumps(options)]
        running.append(subprocess.Popen(command))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def read_log(folder: Path) -> list[tuple[str, int]]:
    """The blocks that were begun, in order: who, and the first row."""
    log = folder / "log"
    lines = log.read_text().splitlines() if log.is_file() else []
    return [(who, int(first)) for who, first in (line.split() for line in lines)]


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "waited for two minutes"
        time.sleep(0.02)


def test_two_processes_share_an_array(tmp_path: Path, start: Start) -> None:
    """Each waits in its first block until both are at one, so both take part whatever else the machine does."""
    both = [start(name, together=2) for name in ("one", "two")]
    assert [process.wait(120) for process in both] == [0, 0]
    log = read_log(tmp_path)
    assert Counter(first for _, first in log) == {first: 1 for first, _ in TENS}
    assert {who for who, _ in log} == {"one", "two"}
    cache = tmp_path / "cache"
    assert np.array_equal(FeatureCache(cache).get(DECIDES, never()), row(0, 60))
    assert len([p for p in cache.rglob("*") if p.is_file()]) == 1
    alone = tmp_path / "alone"
    FeatureCache(alone).get(DECIDES, lambda: row(0, 60))
    (shared,), (whole,) = (list(folder.rglob("*.npy")) for folder in (cache, alone))
    assert shared.read_bytes() == whole.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_kill_costs_a_block(tmp_path: Path, start: Start) -> None:
    first = start("first", hang=20)
    wait_until(lambda: ("first", 20) in read_log(tmp_path))
    second = start("second")
    # it has done all that is left, and waits for the first one's third block
    wait_until(lambda: ("second", 50) in read_log(tmp_path))
    first.send_signal(signal.SIGKILL)
    assert second.wait(120) == 0
    log = read_log(tmp_path)
    assert [at for who, at in log if who == "first"] == [0, 10, 20]
    assert [at for who, at in log if who == "second"] == [30, 40, 50, 20]
    assert np.array_equal(FeatureCache(tmp_path / "cache").get(DECIDES, never()), row(0, 60))
    assert not list_leases(tmp_path / "cache" / "leases")
