"""Leases under every order of calls of the file system, with kills between them, as far as draws find one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records import lease_files, leases
from harness.records.lease_holders import HolderProcess
from harness.records.leases import Leases

ID = "0123456789abcdef0123"
HERE = HolderProcess.here()


def here_as(number: int) -> HolderProcess:
    return replace(HERE, holder=replace(HERE.holder, pid=number))


class Killed(BaseException):
    """The end of a worker at a call of the file system."""


class Schedule:
    """Lets one thread at a time make one call of the file system; whose turn it is, and who is killed, is drawn."""

    def __init__(self, draws: list[int]) -> None:
        self.draws, self.dead, self.turn = iter(draws), set[int](), -1
        self.condition = threading.Condition()
        self.alive: list[int] = []
        self.me = threading.local()

    def pick(self) -> None:
        draw = next(self.draws, 0)
        self.turn = self.alive[draw % len(self.alive)] if self.alive else -1
        self.kills = draw >= 57
        self.condition.notify_all()

    def step(self) -> None:
        """Wait for this thread's turn; the call that follows is the only one until it steps again."""
        me = getattr(self.me, "number", None)
        if me is None:
            return
        with self.condition:
            self.pick()
            self.condition.wait_for(lambda: self.turn == me)
            if self.kills:
                raise Killed

    def run(self, number: int, work: Callable[[], None]) -> None:
        self.me.number = number
        try:
            with self.condition:
                self.condition.wait_for(lambda: self.turn == number)
            work()
        except Killed:
            self.dead.add(number)
        finally:
            self.me.number = None
            with self.condition:
                self.alive.remove(number)
                self.pick()


@settings(max_examples=200)
@given(st.lists(st.integers(0, 59), min_size=40, max_size=200), st.booleans())
def test_any_order_of_calls_and_kills_leaves_one_holder(
    tmp_path_factory: pytest.TempPathFactory, draws: list[int], stale: bool
) -> None:
    folder, schedule = tmp_path_factory.mktemp("orders"), Schedule(draws)
    at_work: set[int] = set()
    workers = {n: Leases(folder, stale_after=1e9, beat_every=1e9) for n in range(1, 5)}

    def work(number: int) -> None:
        for _ in range(3):
            if workers[number].take(ID) is None:
                at_work.add(number)
                for _ in range(3):
                    schedule.step()
                assert at_work - schedule.dead == {number}, "two at once"
                at_work.remove(number)
                workers[number].give(ID)

    def stepping(call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*given: Any, **more: Any) -> Any:
            schedule.step()
            return call(*given, **more)

        return stepped

    failures: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HolderProcess, "is_gone", lambda self, here: self.holder.pid in schedule.dead)
        for number, worker in workers.items():
            patch.setattr(HolderProcess, "here", classmethod(lambda cls, n=number: here_as(n)))
            worker._own_file()
        if stale:
            schedule.dead.add(99)
            (folder / "stale.worker").write_bytes(here_as(99).to_json())
            os.link(folder / "stale.worker", folder / f"{ID}.lease")
        patch.setattr(os, "link", stepping(os.link))
        patch.setattr(os, "replace", stepping(os.replace))
        patch.setattr(Path, "unlink", stepping(Path.unlink))
        for module in (leases, lease_files):
            patch.setattr(module, "look", stepping(lease_files.look))
        running = []
        for number in (1, 2, 3):
            schedule.alive.append(number)

            def guarded(number: int = number) -> None:
                try:
                    work(number)
                except AssertionError as error:
                    failures.append(str(error))

            running.append(threading.Thread(target=schedule.run, args=[number, guarded]))
        for thread in running:
            thread.start()
        with schedule.condition:
            schedule.pick()
        for thread in running:
            thread.join()
        assert not failures
        assert workers[4].take(ID) is None  # whatever the killed ones left blocks nobody
        for worker in workers.values():
            worker._own_file()._ended.set()
