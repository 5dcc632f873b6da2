"""Leases in a bucket: one holder at a time, whatever the thieves, the silence and the lost answers."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.errors import BucketError, StoreError
from harness.mirroring.bucket import Bucket, open_bucket
from harness.mirroring.bucket_leases import BucketLeases
from harness.records.lease_holders import UNKNOWN, HolderProcess

A, B = "a" * 16, "b" * 16
SHORT = 0.3
"""Seconds of silence that count as death here; nothing rests on how long anything else takes."""


@pytest.fixture
def worker(any_url: str) -> Iterator[Callable[..., BucketLeases]]:
    """Makes workers that share a bucket."""
    made: list[BucketLeases] = []

    def make(stale_after: float = 1000.0, beat_every: float = 1000.0) -> BucketLeases:
        made.append(BucketLeases(any_url, stale_after, beat_every))
        return made[-1]

    yield make
    for each in made:
        each.close()


def silent(leases: BucketLeases) -> None:
    """Ends a worker's signs of life without giving anything, as a kill does."""
    leases._ended.set()
    leases._held.clear()


def test_one_at_a_time_and_free_once_given(worker: Any) -> None:
    one, two = worker(), worker()
    here = HolderProcess.here().holder
    assert one.take(A) is one.take(A) is None
    holder = two.take(A)
    assert (holder.host, holder.pid) == (here.host, here.pid)
    assert two.take(B) is None
    two.give(A)  # not its own
    assert two.take(A) is not None
    one.give(A)
    assert two.take(A) is None
    two.close()
    assert one.take(A) is one.take(B) is None


def test_of_many_who_ask_at_once_one_gets_it(worker: Any) -> None:
    workers = [worker() for _ in range(4)]
    got: Counter[str] = Counter()
    ready = threading.Barrier(4)

    def ask(one: BucketLeases) -> None:
        for n in range(20):
            ready.wait()
            if one.take(f"{n:016x}") is None:
                got[f"{n:016x}"] += 1

    threads = [threading.Thread(target=ask, args=(one,)) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == Counter({f"{n:016x}": 1 for n in range(20)})


def test_silence_is_judged_by_the_observers_own_clock_and_one_thief_wins(worker: Any) -> None:
    dead = worker()
    assert dead.take(A) is None
    silent(dead)
    thieves = [worker(stale_after=SHORT) for _ in range(4)]
    assert all(thief.take(A) is not None for thief in thieves)
    time.sleep(SHORT)
    ready = threading.Barrier(4)
    won: list[BucketLeases] = []

    def steal(thief: BucketLeases) -> None:
        ready.wait()
        if thief.take(A) is None:
            won.append(thief)

    threads = [threading.Thread(target=steal, args=(thief,)) for thief in thieves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_worker_that_gives_signs_of_life_keeps_its_lease(worker: Any, any_url: str) -> None:
    one, two = worker(beat_every=0.02), worker(stale_after=60.0)
    assert one.take(A) is None
    first = open_bucket(any_url).get(f"leases/{A}.json")
    assert first is not None
    while (found := open_bucket(any_url).get(f"leases/{A}.json")) == first:
        time.sleep(0.01)
    assert found is not None
    assert two.take(A) is not None
    two._seen[A] = (first[1], time.monotonic() - 1000)  # long ago, but of an earlier state
    assert two.take(A) is not None


def test_who_lost_its_lease_notices_and_does_not_give_it(worker: Any, any_url: str, caplog: Any) -> None:
    slow, thief = worker(beat_every=0.02), worker(stale_after=0.0)
    slow._ended.set()
    assert slow.take(A) is None
    assert thief.take(A) is None
    slow._renew(A, slow._held[A])
    assert A not in slow._held
    slow.give(A)
    assert open_bucket(any_url).get(f"leases/{A}.json") is not None
    assert "others took over" in caplog.records[-1].getMessage()


def test_a_lost_answer_is_no_loss(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = worker()
    original = Bucket.put_new

    def losing(self: Bucket, name: str, content: Any) -> None:
        original(self, name, content)

    monkeypatch.setattr(Bucket, "put_new", losing)
    assert one.take(A) is None
    assert A in one._held


def test_a_thief_that_dies_blocks_nobody_for_long(worker: Any, tmp_path: Any) -> None:
    url = f"file://{tmp_path}/shared"
    dead, thief = BucketLeases(url), BucketLeases(url, stale_after=0.0)
    assert dead.take(A) is None
    silent(dead)
    bucket = open_bucket(url)
    found = bucket.head(f"leases/{A}.json")
    assert found is not None
    bucket.put(f"leases/{A}.{hashlib.sha256(found.tag.encode()).hexdigest()[:16]}", b"another's, who died")
    assert thief.take(A) is None
    assert A in thief._held
    assert [f.name for f in bucket.list("leases")] == [f"leases/{A}.json"]
    thief.close()


def test_damage_is_an_unknown_holder(worker: Any, any_url: str) -> None:
    open_bucket(any_url).put(f"leases/{A}.json", b"{")
    assert worker().take(A) == UNKNOWN


def test_a_bucket_that_fails_grants_all_with_one_warning(
    worker: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def fail(*_: Any) -> Any:
        raise BucketError("s3://x: can't be reached")

    one = worker()
    monkeypatch.setattr(Bucket, "put_new", fail)
    assert one.take(A) is one.take(B) is None
    one.give(A)
    assert [r.getMessage() for r in caplog.records] == [
        "harness: s3://x: can't be reached; without its leases, other machines may do the same cells"
    ]


def test_only_ids_have_leases(worker: Any) -> None:
    for name in ("../x", "", "A" * 16):
        with pytest.raises(StoreError):
            worker().take(name)
