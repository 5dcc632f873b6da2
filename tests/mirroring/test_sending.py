"""Sending in the background: once each, followed by what waits for it, and no endless tries of what fails."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from harness.errors import BucketError
from harness.mirroring import breaker
from harness.mirroring.joint_leases import JointLeases
from harness.mirroring.sending import THREADS, Sender


def test_each_is_sent_once_and_what_waits_for_it_is_called() -> None:
    sent: list[str] = []
    called: list[str] = []
    hold = threading.Event()

    def send(name: str) -> None:
        hold.wait()
        sent.append(name)

    sender = Sender(send)
    for n in range(THREADS):
        sender.add(f"first {n}")  # every thread has one now
    for n in range(3):
        sender.add("late", lambda n=n: called.append(f"after {n}"))  # type: ignore[misc]
    hold.set()
    assert sender.finish() == {}
    assert sorted(sent) == [f"first {n}" for n in range(THREADS)] + ["late"]
    assert called == ["after 0", "after 1", "after 2"]


def test_what_fails_is_tried_few_times_and_what_waits_for_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []
    called: list[int] = []

    def send(name: str) -> None:
        tried.append(name)
        raise BucketError("s3://b: access is refused")

    sender = Sender(send)
    for n in range(200):
        sender.add(f"{n:03}", lambda n=n: called.append(n))  # type: ignore[misc]
    left = sender.finish()
    assert left == {f"{n:03}": "s3://b: access is refused" for n in range(200)}
    assert len(tried) <= 3 + THREADS + 1
    assert sorted(called) == [*range(200)]


def test_what_failed_for_a_while_is_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = True

    def send(name: str) -> None:
        if broken:
            raise BucketError("s3://b: can't be reached")

    sender = Sender(send)
    for n in range(20):
        sender.add(str(n))
    sender.wait()
    broken = False
    assert sender.finish() == {}


def test_after_a_pause_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(breaker.time, "monotonic", lambda: now[0])
    one = breaker.Breaker(failures=2, pause=30.0)
    one.fail()
    assert not one.is_open
    one.fail()
    assert one.is_open
    now[0] += 31
    assert not one.is_open
    one.fail()
    assert one.is_open
    one.succeed()
    assert not one.is_open


class Place:
    """Leases of one place, some of them another's."""

    def __init__(self, *others: str) -> None:
        self.others, self.ours = others, set[str]()

    def take(self, id: str) -> Any:
        if id in self.others:
            return f"holder of {id}"
        self.ours.add(id)
        return None

    def give(self, id: str) -> None:
        self.ours.discard(id)

    def close(self) -> None:
        self.ours.clear()


def test_a_lease_in_two_places_is_had_in_both_or_in_none() -> None:
    folder, bucket = Place("f"), Place("b")
    both = JointLeases(folder, bucket)
    assert both.take("x") is None
    assert (both.take("f"), both.take("b")) == ("holder of f", "holder of b")
    assert folder.ours == bucket.ours == {"x"}
    both.give("x")
    assert folder.ours == bucket.ours == set()
    both.take("y")
    both.close()
    assert folder.ours == bucket.ours == set()
