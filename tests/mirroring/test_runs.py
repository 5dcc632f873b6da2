"""Runs with a bucket: a fresh machine has nothing to run; kills, refusals and two machines at once cost no record."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import harness
from harness.cli import main
from harness.errors import BucketError, HarnessError
from harness.mirroring.bucket import Bucket, open_bucket
from harness.mirroring.bucket_leases import BucketLeases
from harness.records.store import Store
from harness.running.hooks import hookimpl

SCRIPT = Path(__file__).with_name("toys.py")
LOAD = (
    "import importlib.util as u, sys; s = u.spec_from_file_location('mirroring_toys', sys.argv[1]); "
    "m = u.module_from_spec(s); s.loader.exec_module(m); m.main(*sys.argv[2:])"
)
"""A machine's run in a process of its own, under the same name of the module, by which classes are known."""


@pytest.fixture
def toys() -> ModuleType:
    """The toys, registered."""
    spec = importlib.util.spec_from_file_location("mirroring_toys", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.register()
    module.__dict__["state"] = sys.modules[module.STATE]
    return module


@pytest.fixture
def go(toys: ModuleType, tmp_path: Path) -> Any:
    """Runs the suite as a machine of that name, with a cache of its own, and returns the run and the seeds that ran."""

    def run(name: str, url: str | None, **more: Any) -> tuple[Any, list[int]]:
        toys.state.ran.clear()
        outcome = harness.run(
            toys.SUITE, store=tmp_path / name, cache=tmp_path / f"{name}-cache", remote=url, device="cpu",
            progress=False, **more,
        )  # fmt: skip
        return outcome, list(toys.state.ran)

    return run


def text(outcome: Any) -> str:
    return "\n".join(map(str, outcome.tables()))


def test_a_fresh_machine_has_nothing_to_run_and_the_same_table(go: Any, any_url: str, toys: Any) -> None:
    first, ran = go("one", any_url)
    assert ran == toys.SEEDS
    second, ran = go("two", any_url)
    assert ran == []
    assert text(second) == text(first)
    assert second.plan.counts() == {"done": 6}
    ids = {p.cell.id for p in first.plan}
    one, two = first.store, second.store
    assert all(
        one.file("records", id, ".json").read_bytes() == two.file("records", id, ".json").read_bytes()
        for id in ids
    )
    assert all(one.samples(id).equals(two.samples(id)) for id in ids)


def test_what_was_run_before_there_was_a_bucket_is_put(go: Any, url: str) -> None:
    first, _ = go("one", None)
    go("one", url)
    second, ran = go("two", url)
    assert ran == []
    assert text(second) == text(first)


def test_features_are_computed_once(go: Any, url: str, toys: Any, tmp_path: Path) -> None:
    go("one", url)
    one = {p.name: p.read_bytes() for p in (tmp_path / "one-cache").rglob("*.npy")}
    _, ran = go("two", url, fresh=True)
    assert ran == toys.SEEDS
    assert {p.name: p.read_bytes() for p in (tmp_path / "two-cache").rglob("*.npy")} == one
    assert len(one) == 6


def test_what_another_machine_finishes_meanwhile_is_taken(go: Any, url: str, toys: Any) -> None:
    others: list[int] = []

    def other_machine(seed: int) -> None:
        if seed == 2 and not others:
            others.append(-1)
            mine = list(toys.state.ran)
            others[:] = go("two", url, seeds=[3, 4, 5])[1]  # the cell of seed 2 is under a lease
            toys.state.ran[:] = mine

    toys.state.before_cell.append(other_machine)
    first, ran = go("one", url)
    assert others == [3, 4, 5]
    assert ran == [0, 1, 2]
    assert [r.status for r in first.records] == ["ok"] * 6
    assert {r.metrics["score"] for r in first.records} == {1.5 + s for s in toys.SEEDS}


def test_killed_in_the_middle(url: str, tmp_path: Path, go: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The killed run's records are here or in the bucket; nothing is lost, and both machines end alike."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LOAD, str(SCRIPT), str(tmp_path / "one"), url, "4"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert len(Store(tmp_path / "one").listing()) == 4
    # the killed machine's lease would be waited for, for three minutes
    monkeypatch.setattr(BucketLeases.__init__, "__defaults__", (0.5, 0.1))
    second, ran = go("two", url)
    assert set(ran) >= {4, 5}
    again, ran = go("one", url)
    assert ran == []
    assert text(again) == text(second)
    records = [found.name for found in open_bucket(url).list("records")]
    assert len(records) == 6
    assert all(open_bucket(url).get(name) is not None for name in records)


def test_two_runs_at_once_end_alike(url: str, tmp_path: Path, go: Any, toys: Any) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    commands = [
        [sys.executable, "-c", LOAD, str(SCRIPT), str(tmp_path / name), url] for name in ("one", "two")
    ]
    running = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert said == ["", ""]
    outcomes = [go(name, url) for name in ("one", "two", "three")]
    assert [ran for _, ran in outcomes] == [[], [], []]
    assert len({text(outcome) for outcome, _ in outcomes}) == 1
    assert len(list(open_bucket(url).list("records"))) == len(toys.SEEDS)


def refuse(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    def fail(*_: Any) -> Any:
        raise BucketError(f"{url}: access is refused (AccessDenied)")

    for method in ("put", "put_new", "put_over"):
        monkeypatch.setattr(Bucket, method, fail)


def test_a_slow_bucket_stops_no_cell(go: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No put ends before all cells have run: a cell that waited for one would never end."""
    all_ran = threading.Event()
    original = Bucket.put_new

    def slow(self: Bucket, name: str, content: Any) -> Any:
        assert name.startswith("leases/") or all_ran.wait(60)
        return original(self, name, content)

    class Watching:
        @hookimpl
        def run_finished(self) -> None:
            all_ran.set()

    monkeypatch.setattr(Bucket, "put_new", slow)
    go("one", url, listeners=[Watching()])
    assert go("two", url)[1] == []


def test_refused_puts_stop_no_cell_and_are_told(go: Any, url: str, caplog: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, url)
        outcome, _ = go("one", url)
    assert [r.status for r in outcome.records] == ["ok"] * 6
    (told,) = [r.getMessage() for r in caplog.records if "could not be put" in r.getMessage()]
    assert f"{url}: 7 of the records and plans could not be put (" in told
    assert told.endswith(
        " and 4 more): access is refused (AccessDenied); they are here, and the next run with this --remote puts them"
    )
    go("one", url)
    assert go("two", url)[1] == []


def test_the_command_says_what_was_not_put_with_its_status(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toys: Any, capsys: Any, caplog: Any
) -> None:
    suite = tmp_path / "toys.toml"
    suite.write_text(
        f'name = "toys"\nprotocol = "toy-counting"\ndatasets = ["toy-data"]\nseeds = {toys.SEEDS}\n'
    )
    monkeypatch.setenv("HARNESS_REMOTE", url)
    command = ["run", str(suite), "--store", str(tmp_path / "one"), "--device", "cpu"]
    with monkeypatch.context() as patch:
        refuse(patch, url)
        assert main(command) == 1
    assert main(command) == 0
    assert f"harness: {url}: 7 records and plans to put" in capsys.readouterr().err


def test_a_bucket_that_is_not_there_stops_before_anything_runs(go: Any, boto: Any, toys: Any) -> None:
    with pytest.raises(HarnessError, match="there is no such bucket"):
        go("one", "s3://no-such-bucket/x")
    assert toys.state.ran == []


def test_no_key_in_records_logs_or_the_store(go: Any, url: str, tmp_path: Path, caplog: Any) -> None:
    go("one", url)
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        content = path.read_bytes()
        assert b"verysecret" not in content, path
        assert b"AKIAPUBLIC" not in content, path
    assert "verysecret" not in caplog.text


def test_an_interrupted_run_puts_what_it_has(go: Any, url: str, toys: Any) -> None:
    class Interrupts:
        @hookimpl
        def cell_finished(self, cell: Any) -> None:
            if cell.seed == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go("one", url, listeners=[Interrupts()])
    _, ran = go("two", url)
    assert ran in (
        [3, 4, 5],
        [2, 3, 4, 5],
    )  # the interrupt may come before the mirror hears of the third cell


def test_tables_and_merge_fetch_first(go: Any, url: str, tmp_path: Path, capsys: Any) -> None:
    first, _ = go("one", url)
    arguments = ["--store", str(tmp_path / "reader"), "--remote", url]
    assert main(["table", "toys", *arguments]) == 0
    assert text(first).strip() in capsys.readouterr().out.strip()
    assert "\n".join(map(str, harness.table("toys", store=tmp_path / "python", remote=url))) == text(first)
    assert main(["merge", str(tmp_path / "merged"), url]) == 0
    assert "6 records copied, 0 replaced unfinished ones, 0 were there already" in capsys.readouterr().out
    outcome = harness.merge(tmp_path / "merged", url, tmp_path / "one")
    assert (outcome.copied, outcome.same) == (0, 12)
    assert main(["merge", url, str(tmp_path / "merged")]) == 2
    assert "harness run --remote" in capsys.readouterr().err


def test_a_reader_without_its_bucket_is_told_how_to_go_on(tmp_path: Path, boto: Any, capsys: Any) -> None:
    assert main(["table", "--store", str(tmp_path), "--remote", "s3://no-such-bucket/x"]) == 2
    assert "without --remote and HARNESS_REMOTE, the store here is used alone" in capsys.readouterr().err
    assert main(["table", "--store", str(tmp_path), "--remote", "s3://a:verysecret@b"]) == 2
    assert "verysecret" not in capsys.readouterr().err


def test_processes_mirror_too(url: str, tmp_path: Path) -> None:
    suite = {
        "name": "small", "protocol": "classification", "models": ["tiny-resnet?trained_on=digits"],
        "datasets": ["digits"], "metrics": ["top1"], "seeds": [0, 1],
    }  # fmt: skip
    how: dict[str, Any] = {"executor": "processes:2", "device": "cpu", "progress": False, "limit": 20}
    call = f"harness.run({suite!r}, store={str(tmp_path / 'one')!r}, remote={url!r}, **{how!r})"
    script = f"import harness\nif __name__ == '__main__':\n    {call}\n"
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kinds = {found.name.partition("/")[0] for found in open_bucket(url).list()}
    assert kinds >= {"records", "samples", "suites", "features"}
    outcome = harness.run(suite, store=tmp_path / "two", remote=url, device="cpu", progress=False, limit=20)
    assert outcome.plan.counts() == {"done": len(outcome.plan)}


def test_a_merge_from_no_store_is_told_and_makes_none(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "empty").mkdir()
    for name, said in (("mistyped", "no such store"), ("empty", "holds no records")):
        assert main(["merge", str(tmp_path / "merged"), f"file://{tmp_path}/{name}"]) == 2
        assert capsys.readouterr().err == f"harness: file://{tmp_path}/{name}: {said}\n"
    assert not (tmp_path / "mistyped").exists()
