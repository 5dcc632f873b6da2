"""Runs on a `sbatch` and `squeue` that tell what no test can wait for: time limits, lost nodes, an absent controller."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.contract.cells import Cell
from harness.errors import Detached, HarnessError
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records.leases import Leases
from harness.records.record import Record, make_blank
from harness.records.store import Store
from harness.running.worker import RunSettings
from harness_slurm import Slurm, arrays_under_way, driver
from harness_slurm.event_files import BEGUN, ENDED, RECORDED, STARTED

SBATCH = """
import json, os, re, shlex, sys
place = os.environ["FAKE_SLURM"]
jobs = json.load(open(place + "/jobs.json"))
said = json.load(open(place + "/refuse.json"))
options = dict(a.removeprefix("--").partition("=")[::2] for a in sys.argv[1:])
folder = shlex.split(sys.stdin.read().splitlines()[-1])[-1]
tasks = int(re.match(r"0-(\\d+)%", options["array"])[1]) + 1
assert os.path.exists(folder + "/note.json"), "the note comes first"
if said in ("no", "large"):
    why = "Invalid account" if said == "no" else "Invalid job array specification"
    sys.exit("sbatch: error: Batch job submission failed: " + why)
job = {"name": options["job-name"], "folder": folder, "tasks": tasks, "options": options}
json.dump([*jobs, job], open(place + "/jobs.json", "w"))
if said == "late":
    sys.exit("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
print(len(jobs) + 1)
"""

SQUEUE = """
import json, os, sys
place = os.environ["FAKE_SLURM"]
open(place + "/asked", "a").write(".")
told = json.load(open(place + "/states.json"))
if told is None:
    sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
names = sys.argv[sys.argv.index("--name") + 1].split(",")
for number, job in enumerate(json.load(open(place + "/jobs.json")), 1):
    for task in range(job["tasks"]):
        state, status, reason = told.get(f"{number}_{task}", ["PENDING", 0, "Resources"])
        if job["name"] in names and state:
            print(f"{job['name']:>64}{number:>24}{task:>24}{state:>24}{status:>24}{reason:>160}")
"""


class FakeSlurm:
    """What `sbatch` was given, and what `squeue` is to say; jobs do what the test writes into their files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states: dict[str, list[Any]] | None = {}
        for name, code in (("sbatch", SBATCH), ("squeue", SQUEUE)):
            program = folder / name
            program.write_text(f"#!{sys.executable} -SE\n{code}")
            program.chmod(0o755)
        (folder / "jobs.json").write_text("[]")
        self.tell({})
        self.refuse("")

    def refuse(self, how: str) -> None:
        (self.folder / "refuse.json").write_text(json.dumps(how))

    def tell(self, states: dict[str, list[Any]] | None) -> None:
        """States by `job_task`: name, wait status, reason; an empty name for a task that is unknown."""
        (self.folder / "states.json").write_text(json.dumps(states))

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return list(json.loads((self.folder / "jobs.json").read_bytes()))

    @property
    def asked(self) -> int:
        """How often `squeue` was called."""
        return len((self.folder / "asked").read_text()) if (self.folder / "asked").exists() else 0

    def cells(self, job: int, task: int = 0) -> list[str]:
        """The ids of a task's cells."""
        (note,) = Path(self.jobs[job - 1]["folder"]).glob("[ne][on][td]*e*.json")
        return list(json.loads(note.read_bytes())["tasks"][task])

    def write(self, job: int, task: int, *lines: tuple[str, str]) -> None:
        """Have a job write events."""
        path = Path(self.jobs[job - 1]["folder"]) / f"events-{task}.jsonl"
        with path.open("a") as file:
            file.writelines(json.dumps([name, cell, {}]) + "\n" for name, cell in lines)


class Clock:
    """A clock that goes on where the driver sleeps, and lets the test's steps happen then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps: list[tuple[Callable[[], object], Callable[[], object]]] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 3600, "the run doesn't end"
        if self.steps and self.steps[0][0]():
            self.steps.pop(0)[1]()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(driver, "time", made)
    monkeypatch.setattr(arrays_under_way, "time", made)
    return made


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> FakeSlurm:
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join([str(place), os.environ["PATH"]]))
    monkeypatch.setenv("FAKE_SLURM", str(place))
    return FakeSlurm(place)


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    content = {
        "name": "s",
        "protocol": "classification",
        "models": ["tiny-vit"],
        "datasets": ["scenes"],
        "metrics": ["top1"],
    }
    return [p.cell for p in make_plan(parse_suite({**content, "seeds": [0, 1, 2, 3]}))]


class Drive:
    """A run in steps: each record comes once the test has arranged for it."""

    def __init__(self, cells: list[Cell], store: Path, **options: Any) -> None:
        self.cells, self.store = {c.id: c for c in cells}, Store(store)
        self.events: list[tuple[str, str]] = []
        settings = RunSettings(store, device="cpu", fresh=options.pop("fresh", False))
        executor = Slurm(**options)
        self.records = executor.execute(
            cells, settings, lambda name, cell, **facts: self.events.append((name, cell.id))
        )
        self.got: dict[str, Record] = {}

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            cell, record = next(self.records)
            assert cell.id not in self.got
            self.got[cell.id] = record

    def finish(self) -> None:
        for cell, record in self.records:
            assert cell.id not in self.got
            self.got[cell.id] = record

    def make(self, *ids: str) -> None:
        """Write ok records, as a job would."""
        for id in ids:
            self.store.write(make_blank(self.cells[id], "ok"))


def test_a_cell_that_needs_more_than_the_limit(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    run = Drive(cells, tmp_path / "store", jobs=1, per_job=4, minutes=30)
    first, second, third, fourth = (c.id for c in cells)

    def begin() -> None:
        slurm.write(1, 0, (BEGUN, ""), (STARTED, first))
        slurm.tell({"1_0": ["TIMEOUT", 15, "TimeLimit"]})

    def go_on() -> None:
        run.make(second, third)
        slurm.write(
            2, 0, (BEGUN, ""), *[(what, id) for id in (second, third) for what in (STARTED, RECORDED)]
        )
        slurm.write(2, 0, (STARTED, fourth))
        slurm.tell({"2_0": ["TIMEOUT", 15, "TimeLimit"]})

    def end() -> None:
        run.make(fourth)
        slurm.write(3, 0, (BEGUN, ""), (STARTED, fourth), (RECORDED, fourth), (ENDED, ""))

    clock.steps = [
        (lambda n=n: len(slurm.jobs) == n, action) for n, action in enumerate((begin, go_on, end), 1)
    ]
    run.finish()
    assert {id: r.status for id, r in run.got.items()} == {
        first: "failed",
        second: "ok",
        third: "ok",
        fourth: "ok",
    }
    assert str(run.got[first].reason).startswith(
        "needs more than 30 minutes, the time limit of Slurm job 1_0"
    )
    assert [slurm.cells(n) for n in (1, 2, 3)] == [
        [first, second, third, fourth],
        [second, third, fourth],
        [fourth],
    ]
    assert [job["options"]["signal"] for job in slurm.jobs] == ["B:USR2@120"] * 3


def test_lost_nodes_and_tasks_that_nobody_knows(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    run = Drive(cells, tmp_path / "store", jobs=4, per_job=1)
    ids = [c.id for c in cells]

    def begin() -> None:
        slurm.write(1, 0, (BEGUN, ""), (STARTED, ids[0]))
        slurm.write(1, 1, (BEGUN, ""), (STARTED, ids[1]))
        run.make(ids[3])  # its last words were lost with the node
        states: dict[str, list[Any]] = {"1_0": ["NODE_FAIL", 0, "None"], "1_3": ["NODE_FAIL", 0, "None"]}
        slurm.tell({**states, "1_1": ["", 0, ""], "1_2": ["", 0, ""]})

    def again() -> None:
        assert {slurm.cells(2, 0)[0], slurm.cells(2, 1)[0]} == {ids[0], ids[1]}
        slurm.write(2, 0, (BEGUN, ""), (STARTED, slurm.cells(2, 0)[0]))
        run.make(slurm.cells(2, 1)[0])
        slurm.write(2, 1, (BEGUN, ""), *[(w, slurm.cells(2, 1)[0]) for w in (STARTED, RECORDED)], (ENDED, ""))
        slurm.tell({"2_0": ["NODE_FAIL", 0, "None"]})

    clock.steps = [(lambda: len(slurm.jobs) == 1, begin), (lambda: len(slurm.jobs) == 2, again)]
    run.finish()
    assert run.got[ids[3]].status == "ok"
    # a waiting task that was cancelled alone leaves no trace
    assert "was cancelled" in str(run.got[ids[2]].reason)
    dead = slurm.cells(2, 0)[0]
    assert "2 Slurm jobs died with it, the last was 2_0: NODE_FAIL" in str(run.got[dead].reason)
    assert run.got[slurm.cells(2, 1)[0]].status == "ok"
    assert ("cell_lost", ids[0]) in run.events


def test_records_are_watched_while_the_controller_is_away(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Drive(cells[:2], tmp_path / "store", jobs=1)

    def begin() -> None:
        slurm.tell(None)
        slurm.write(1, 0, (BEGUN, ""), (STARTED, cells[0].id))
        run.make(cells[0].id)
        slurm.write(1, 0, (RECORDED, cells[0].id), (STARTED, cells[1].id))

    clock.steps = [(lambda: len(slurm.jobs) == 1, begin)]
    run.step()

    def end() -> None:
        run.make(cells[1].id)
        slurm.write(1, 0, (RECORDED, cells[1].id), (ENDED, ""))

    clock.steps = [(lambda: "squeue gives no answer" in caplog.text, end)]
    run.finish()
    assert len(slurm.jobs) == 1
    assert len(run.got) == 2
    assert caplog.text.count("squeue gives no answer") == 1


def test_jobs_that_leave_nothing_in_the_store(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    run = Drive(cells, tmp_path / "store", jobs=1)
    slurm.tell({f"{n}_0": ["COMPLETED", 0, "None"] for n in (1, 2, 3)})
    run.finish()
    assert len(slurm.jobs) == 2
    for record in run.got.values():
        assert record.status == "failed"
        assert "2 Slurm jobs ended before it ran, the last was 2_0: exit status 0; it left no log in" in str(
            record.reason
        )
        assert str(record.reason).endswith("the nodes must have the store under the same path")


def test_jobs_that_cannot_start_say_the_last_line_of_their_log(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    run = Drive(cells[:1], tmp_path / "store", jobs=1)

    def begin() -> None:
        (Path(slurm.jobs[1]["folder"]) / "0.log").write_text(
            "Traceback\nModuleNotFoundError: No module named 'x'\n\n"
        )
        slurm.tell({f"{n}_0": ["FAILED", 256, "NonZeroExitCode"] for n in (1, 2)})

    slurm.tell({"1_0": ["FAILED", 256, "NonZeroExitCode"], "2_0": ["RUNNING", 0, "None"]})
    clock.steps = [(lambda: len(slurm.jobs) == 2, begin)]
    run.finish()
    (record,) = run.got.values()
    assert "exit status 1; log: " in str(record.reason)
    assert str(record.reason).endswith("which ends with 'ModuleNotFoundError: No module named 'x''")


def test_what_sbatch_refuses_ends_the_run_in_one_line(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    slurm.refuse("no")
    with pytest.raises(HarnessError, match=r"^executor slurm: sbatch: Invalid account$"):
        Drive(cells, tmp_path / "store").finish()
    assert not list((tmp_path / "store" / "slurm").glob("harness-*"))


def test_an_answer_that_is_lost_costs_no_second_submission(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    slurm.refuse("late")
    with pytest.raises(Detached, match="1 job goes on; the same command attaches, `scancel 1` ends it"):
        Drive(cells, tmp_path / "store", jobs=1, per_job=9, wait=False).finish()
    assert len(slurm.jobs) == 1


def test_a_kill_around_the_submission_loses_nothing(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness_slurm import commands

    real = commands.submit

    def killed_after(*given: Any) -> str:
        real(*given)
        raise SystemExit("killed")

    def killed_before(*given: Any) -> str:
        raise SystemExit("killed")

    store = tmp_path / "store"
    monkeypatch.setattr(commands, "submit", killed_after)
    with pytest.raises(SystemExit):
        Drive(cells[:2], store, wait=False).finish()
    monkeypatch.setattr(commands, "submit", killed_before)
    with pytest.raises(SystemExit):
        Drive(cells, store, wait=False).finish()
    monkeypatch.setattr(commands, "submit", real)
    with pytest.raises(Detached):
        Drive(cells, store, wait=False).finish()
    # the first job was found by its name, the second was never submitted
    assert [len(slurm.cells(n + 1)) * job["tasks"] for n, job in enumerate(slurm.jobs)] == [2, 2]
    with pytest.raises(Detached):
        Drive(cells, store, wait=False).finish()
    assert len(slurm.jobs) == 2


def test_cells_of_another_run_are_waited_for(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    other = Leases(store / "leases")
    assert other.take(cells[0].id) is None
    assert other.take(cells[1].id) is None
    run = Drive(cells[:3], store, jobs=1)

    def begin() -> None:
        assert slurm.cells(1) == [cells[2].id]
        run.make(cells[0].id)  # the other run has finished one, and leaves the other undone
        other.close()
        run.make(cells[2].id)
        slurm.write(1, 0, (BEGUN, ""), (STARTED, cells[2].id), (RECORDED, cells[2].id), (ENDED, ""))

    def end() -> None:
        assert slurm.cells(2) == [cells[1].id]
        run.make(cells[1].id)
        slurm.write(2, 0, (BEGUN, ""), (STARTED, cells[1].id), (RECORDED, cells[1].id), (ENDED, ""))

    clock.steps = [(lambda: len(slurm.jobs) == 1, begin), (lambda: len(slurm.jobs) == 2, end)]
    run.finish()
    assert len(run.got) == 3
    assert [e for e in run.events if e[0] == "cell_elsewhere"].count(("cell_elsewhere", cells[0].id)) == 1


def test_reasons_to_wait_are_told_once(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Drive(cells[:1], tmp_path / "store", jobs=1)
    slurm.tell({"1_0": ["PENDING", 0, "PartitionTimeLimit"]})

    def end() -> None:
        run.make(cells[0].id)
        slurm.write(1, 0, (BEGUN, ""), (RECORDED, cells[0].id), (ENDED, ""))

    clock.steps = [(lambda: "Slurm jobs wait: PartitionTimeLimit" in caplog.text, end)]
    with caplog.at_level(logging.WARNING):
        run.finish()
    assert caplog.text.count("PartitionTimeLimit") == 1


def test_fresh_runs_do_not_take_part_in_others(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    with pytest.raises(Detached):
        Drive(cells[:1], store, jobs=1, wait=False).finish()
    with pytest.raises(Detached):
        Drive(cells[:1], store, jobs=1, wait=False, fresh=True).finish()
    assert len(slurm.jobs) == 2
    with pytest.raises(Detached):
        Drive(cells[:1], store, jobs=1, wait=False, fresh=True).finish()
    assert len(slurm.jobs) == 2


@pytest.mark.usefixtures("slurm")
def test_no_sbatch_here(cells: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = "sbatch and squeue not found: run the command where jobs are submitted, on a login node of the cluster"
    assert Slurm().unavailable() == said
    with pytest.raises(HarnessError, match=f"^executor slurm: {said}$"):
        Drive(cells, tmp_path / "store").finish()


def test_the_queue_is_asked_less_often_while_nothing_happens(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    run = Drive(cells[:1], tmp_path / "store", jobs=1)
    slurm.tell({"1_0": ["RUNNING", 0, "None"]})

    def end() -> None:
        run.make(cells[0].id)
        slurm.write(1, 0, (BEGUN, ""), (RECORDED, cells[0].id), (ENDED, ""))

    clock.steps = [(lambda: clock.now > 900, end)]
    run.finish()
    # every 5 s for 5 minutes, then every 30 s for 10
    assert slurm.asked == pytest.approx(60 + 20, abs=8)


def test_an_array_that_is_too_large(slurm: FakeSlurm, cells: list[Cell], tmp_path: Path) -> None:
    slurm.refuse("large")
    said = r"sbatch: Invalid job array specification: 4 jobs may be too many here, give more per_job$"
    with pytest.raises(HarnessError, match=said):
        Drive(cells, tmp_path / "store", per_job=1).finish()


def test_submissions_that_are_refused_while_jobs_run_are_tried_again(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Drive(cells[:3], tmp_path / "store", jobs=3, per_job=1)
    ids = [c.id for c in cells]
    slurm.tell({f"1_{n}": ["RUNNING", 0, "None"] for n in range(3)})

    def leave() -> None:
        slurm.refuse("no")
        slurm.write(1, 0, (BEGUN, ""), (ENDED, ""))  # its notice came before it began a cell

    def allow() -> None:
        slurm.refuse("")

    def end() -> None:
        run.make(*ids[:3])
        for job, task, id in ((1, 1, ids[1]), (1, 2, ids[2]), (2, 0, ids[0])):
            slurm.write(job, task, (BEGUN, ""), (RECORDED, id), (ENDED, ""))

    clock.steps = [
        (lambda: clock.now > 20, leave),
        (lambda: "Invalid account" in caplog.text, allow),
        (lambda: len(slurm.jobs) == 2, end),
    ]
    run.finish()
    assert slurm.cells(2) == [ids[0]]
    # two jobs run already, so that one may be added
    assert slurm.jobs[1]["options"]["array"] == "0-0%1"


def test_a_job_that_started_again_announces_a_record_twice(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    with pytest.raises(Detached):
        Drive(cells[:2], store, jobs=1, per_job=2, wait=False).finish()
    first, second = (c.id for c in cells[:2])
    slurm.tell({"1_0": ["RUNNING", 0, "None"]})
    run = Drive(cells[:2], store, jobs=1)
    run.make(first, second)
    slurm.write(1, 0, (BEGUN, ""), (STARTED, first), (RECORDED, first), (STARTED, second))
    slurm.write(1, 0, (BEGUN, ""), (RECORDED, first), (STARTED, second), (RECORDED, second), (ENDED, ""))
    run.finish()
    assert len(run.got) == 2
    assert len(slurm.jobs) == 1


def test_two_commands_watch_the_same_jobs(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    runs = [Drive(cells[:2], store, jobs=2, per_job=1) for _ in range(2)]
    a, b = (c.id for c in cells[:2])

    def begin() -> None:
        slurm.write(1, 0, (BEGUN, ""), (STARTED, a))
        slurm.tell({"1_0": ["FAILED", 9, "None"], "1_1": ["RUNNING", 0, "None"]})
        runs[0].make(b)
        slurm.write(1, 1, (BEGUN, ""), (STARTED, b), (RECORDED, b), (ENDED, ""))

    clock.steps = [(lambda: len(slurm.jobs) == 1, begin)]
    runs[0].step()
    runs[1].step()
    clock.steps = [
        (
            lambda: len(slurm.jobs) == 2,
            lambda: (
                runs[0].make(a),
                slurm.write(2, 0, (BEGUN, ""), (STARTED, a), (RECORDED, a), (ENDED, "")),
            ),
        )
    ]
    for run in runs:
        run.finish()
        assert {id: r.status for id, r in run.got.items()} == {a: "ok", b: "ok"}
    assert len(slurm.jobs) == 2
    assert not list((store / "slurm").glob("*/note.json"))


def test_what_ended_arrays_leave_is_removed_after_a_day(
    slurm: FakeSlurm, clock: Clock, cells: list[Cell], tmp_path: Path
) -> None:
    run = Drive(cells[:1], tmp_path / "store", jobs=1)

    def end() -> None:
        run.make(cells[0].id)
        slurm.write(1, 0, (BEGUN, ""), (RECORDED, cells[0].id), (ENDED, ""))
        (Path(slurm.jobs[0]["folder"]) / "0.log").touch()

    clock.steps = [(lambda: len(slurm.jobs) == 1, end)]
    run.finish()
    folder = Path(slurm.jobs[0]["folder"])
    assert sorted(p.name for p in folder.iterdir()) == ["0.log", "ended.json", "events-0.jsonl"]
    os.utime(folder / "ended.json", (1, 1))
    with pytest.raises(Detached):
        Drive(cells[1:2], tmp_path / "store", wait=False).finish()
    assert [p.name for p in folder.iterdir()] == ["ended.json"]


def test_what_a_job_reads_is_for_its_owner_only(slurm: FakeSlurm, cells: list[Cell], tmp_path: Path) -> None:
    with pytest.raises(Detached):
        Drive(cells[:1], tmp_path / "store", wait=False).finish()
    (path,) = (tmp_path / "store" / "slurm").glob("*/cells-0.json")
    assert path.stat().st_mode & 0o777 == 0o600
