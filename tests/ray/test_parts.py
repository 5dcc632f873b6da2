"""What the executor refuses, what it says, and how files travel: without a cluster."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, OptionError, PluginBroken, StoreError
from harness.records.store import Store
from harness.running.executors.channel import RECORD, TROUBLE, unpack_events
from harness.running.runner import Executors
from harness.running.worker import RunSettings
from harness_ray.actor import PLACED, TOGETHER, CellActor, Outbox
from harness_ray.carried_files import settle_events, take_files
from harness_ray.cluster import Share, check_room, count_room
from harness_ray.deaths import explain_error
from harness_ray.executor import Ray
from harness_ray.setup import enter, make_setup, offering_token


def test_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted, *rest: None if wanted == "ray" else find(wanted, *rest)
    )
    with pytest.raises(PluginBroken) as caught, Executors() as available:
        available.get("ray:2")
    assert str(caught.value) == "executor ray: ray is not installed; pip install 'vision-harness[ray]'"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be at least 1, found 0"),
        ({"cpus": 1.5}, "cpus must be a whole number or a fraction below 1, found 1.5"),
        ({"gpus": -1.0}, "gpus must be a whole number or a fraction below 1, found -1"),
        ({"cpus": 0.0}, "cpus must be above 0 where gpus is not, found 0"),
        ({"cpus": float("nan")}, "cpus must be a whole number or a fraction below 1, found nan"),
        ({"gpus": float("inf")}, "gpus must be a whole number or a fraction below 1, found inf"),
        ({"retries": -1}, "retries must be at least 0, found -1"),
        ({"address": ""}, "address '': expected HOST:PORT or auto; run the command on a node of the cluster"),
        ({"address": "ray://h:1"}, "address 'ray://h:1': expected HOST:PORT or auto; run .*"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^executor ray: {message}$"):
        Ray(**options)


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [
        ("auto", 0.0, (Share(1, 0), "cpu")),
        ("auto", 0.5, (Share(1, 0.5), "cuda")),
        ("cuda", None, (Share(1, 1), "cuda")),
        ("cpu", None, (Share(1, 0), "cpu")),
        ("cuda", 0.0, "needs GPUs per actor"),
        ("cpu", 1.0, "needs no GPUs, found gpus=1"),
        ("cuda:1", None, "Ray chooses the GPU; expected cuda"),
    ],
)
def test_actors_without_gpus_keep_to_the_cpu(
    device: str, gpus: float | None, expected: tuple[Share, str] | str
) -> None:
    executor = Ray(gpus=gpus)
    if isinstance(expected, str):
        with pytest.raises(HarnessError, match=expected):
            executor._choose_share(device)
    else:
        assert executor._choose_share(device) == expected


def test_shares_that_make_a_whole_fit(  # 1 / (1/3) is a little below 3 in some orders of rounding
) -> None:
    assert count_room([{"CPU": 4, "GPU": 1}], Share(1, 0.333333)) == 3
    assert count_room([{"CPU": 4, "GPU": 2}, {"CPU": 1, "GPU": 8}], Share(2, 1)) == 2


def test_a_node_with_the_token_has_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", "cache")
    monkeypatch.setenv("HARNESS_DATA_ROOT", "data")
    monkeypatch.setenv("HARNESS_TRUST_MTIME", "1")
    monkeypatch.delenv("HARNESS_MAX_PIXELS", raising=False)
    (tmp_path / "store").mkdir()
    setup = make_setup(RunSettings(Path("store")), None)
    assert setup.settings.store == tmp_path / "store"
    monkeypatch.chdir("/")
    with offering_token(setup) as offered:
        assert offered.is_shared()
        assert enter(offered, tmp_path / "own").store == tmp_path / "store"
    assert Path.cwd() == tmp_path
    assert setup.environment == {
        "HARNESS_CACHE": str(tmp_path / "cache"),
        "HARNESS_DATA_ROOT": str(tmp_path / "data"),
    }
    assert not offered.is_shared()
    monkeypatch.delenv("HARNESS_TRUST_MTIME")  # as the daemons of a cluster have it
    monkeypatch.setenv("HARNESS_MAX_PIXELS", "1")
    assert enter(offered, tmp_path / "own").store == tmp_path / "own"
    assert (os.environ.get("HARNESS_TRUST_MTIME"), os.environ.get("HARNESS_MAX_PIXELS")) == ("1", None)
    assert replace(offered, shared=True).is_shared()
    assert list((tmp_path / "store").iterdir()) == []


def test_files_travel_whole_and_stay_in_the_store(tmp_path: Path) -> None:
    there, here, id = Store(tmp_path / "there"), Store(tmp_path / "here"), "ab" * 10
    for folder in ("samples/ab", "records/ab", "leases", "work/x"):
        (there.path / folder).mkdir(parents=True)
        (there.path / folder / "f").write_bytes(folder.encode())
    files = take_files(there.path)
    assert files == {"samples/ab/f": b"samples/ab"}
    assert take_files(there.path) == {}
    [event] = settle_events([(RECORD, id, {"record": b"{}", "files": files})], here)
    assert event == (RECORD, id, {"record": b"{}"})
    assert (here.path / "samples/ab/f").read_bytes() == b"samples/ab"
    assert here.file("records", id, ".json").read_bytes() == b"{}"
    for outside in ("../x", "/etc/x", "records/ab/x.json", "samples/../../x"):
        with pytest.raises(StoreError, match="is no place for a record's file"):
            settle_events([(RECORD, id, {"record": b"{}", "files": {outside: b""}})], here)


def test_records_wait_for_company_and_starts_do_not() -> None:
    box = Outbox()
    batches = box.batches()
    box.put(b"record", urgent=False)
    threading.Timer(TOGETHER / 10, box.put, (b"start",)).start()
    assert next(batches) == [b"record", b"start"]
    box.put(b"last record", urgent=False)
    began = time.monotonic()
    assert next(batches) == [b"last record"]
    assert time.monotonic() - began >= TOGETHER
    box.put(b"end")
    box.close()
    assert list(batches) == [[b"end"]]


def test_deaths_are_told_in_one_line() -> None:
    long = "The actor died unexpectedly\n\tpid: 7\nThe actor is dead because its worker process has died. Worker exit type"
    assert explain_error(RuntimeError(long)) == "was killed or crashed, as when memory runs out"
    assert explain_error(RuntimeError("a\n  something new: 7\n")) == "ended: something new: 7"
    assert "is not installed for Ray's workers" in explain_error(
        RuntimeError("ModuleNotFoundError: No module named 'harness_ray'")
    )


def test_what_an_actor_says_itself_is_read_as_what_its_sender_sends() -> None:
    actor = CellActor()
    said = actor.listen()
    ((name, id, facts),) = unpack_events(next(said)[0])
    assert (name, id, facts["pid"]) == (PLACED, "", os.getpid())
    actor.warm(b"nothing that can be unpacked")
    ((name, id, facts),) = unpack_events(next(said)[0])
    assert (name, id) == (TROUBLE, "")
    assert facts["reason"].startswith("it can't take in its cells")
    assert list(said) == []


@pytest.mark.parametrize(("share", "fits"), [(Share(2), True), (Share(3), False), (Share(1, 1), False)])
def test_a_worker_for_which_the_own_machine_has_no_room_is_refused(
    monkeypatch: pytest.MonkeyPatch, share: Share, fits: bool
) -> None:
    ray = pytest.importorskip("ray")
    nodes = [
        {"Alive": True, "Resources": {"CPU": 2.0, "memory": 1.0}},
        {"Alive": False, "Resources": {"CPU": 9.0, "GPU": 1.0}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    if fits:
        check_room(share)
        return
    said = f"a worker needs {share}, and this machine has 2 CPUs: ask for less"
    with pytest.raises(HarnessError, match=said):
        check_room(share)
