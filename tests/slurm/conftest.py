"""A real Slurm of two nodes for the session, with own ports, folder and munge, and plugins that its jobs can import."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.discovery import registry
from harness_slurm import arrays_under_way, driver

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
PACKAGES = "slurmctld slurmd slurm-client munge"

CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
MpiDefault=none
ReturnToService=2
KillWait=2
SlurmdTimeout=20
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=node1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={first} CPUs=4 RealMemory=4000 Gres=gpu:2
NodeName=node2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={second} CPUs=4 RealMemory=4000
PartitionName=main Nodes=node1,node2 Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=node1,node2 MaxTime=60 PriorityTier=10 PreemptMode=OFF
"""

GPUS = "NodeName=node1 Name=gpu File=/dev/null\nNodeName=node1 Name=gpu File=/dev/zero\n"
"""Two devices that every machine has, in the place of GPUs."""


def find_obstacle() -> str | None:
    """Why no cluster can be started here, or None."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"{', '.join(missing)} not installed (Debian: {PACKAGES})"
    return None if os.getuid() == 0 else "Slurm's daemons need root here"


class Cluster:
    """Slurm's daemons, started in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state", "spool", "log"):
            (folder / name).mkdir()
        ports = dict(zip(("controller", "first", "second"), _free_ports(3), strict=True))
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, **ports))
        (folder / "gres.conf").write_text(GPUS)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.variables = {"SLURM_CONF": str(folder / "slurm.conf")}

    def start(self) -> None:
        """Start everything, and wait until both nodes are idle."""
        places = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        own = [f"--{option}={self.folder}/munge.{suffix}" for option, suffix in places.items()]
        self._call("munged", "--force", f"--key-file={self.folder}/munge.key", *own)
        self.start_controller()
        for node in ("node1", "node2"):
            self._call("slurmd", "-N", node)
        self.wait(lambda: self.ask("sinfo", "-h", "-N", "-o", "%T").split()[::2] == ["idle", "idle"])

    def start_controller(self) -> None:
        """Start the controller, for the first time or again."""
        self._call("slurmctld")

    def stop_controller(self) -> None:
        """End the controller, as at its maintenance."""
        _end(self.folder / "slurmctld.pid")

    def stop(self) -> None:
        """End all jobs and daemons."""
        self.ask("scancel", "--user=root")
        end = time.monotonic() + 10
        while self.ask("squeue", "-h") and time.monotonic() < end:  # else a job's supervisor would stay
            time.sleep(0.1)
        for name in ("slurmd-node1", "slurmd-node2", "slurmctld", "munge"):
            _end(self.folder / f"{name}.pid")

    def ask(self, *command: str) -> str:
        """What a command answers; empty if it fails."""
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, **self.variables},
            timeout=60,
            check=False,
        )
        return done.stdout if done.returncode == 0 else ""

    def states(self) -> dict[str, str]:
        """State by `array_task` of every job that is known, ended ones too."""
        lines = self.ask("squeue", "-h", "-r", "-t", "all", "-o", "%F_%K %T").splitlines()
        return dict(tuple(line.split()) for line in lines)  # type: ignore[misc]

    def wait(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited in vain; see {self.folder}/log"
            time.sleep(0.1)

    def _call(self, *command: str) -> None:
        subprocess.run(
            command, check=True, env={**os.environ, **self.variables}, capture_output=True, timeout=60
        )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _end(pid_file: Path) -> None:
    """End the process of a pid file, and wait until it is gone."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    for _ in range(100):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)


TOYS = '''
"""A protocol that leaves a trace of each run, waits while it is told to, and kills what it is told to."""

import os
import signal
import time
from pathlib import Path


class Traced:
    needs_model = False

    def run(self, job):
        import numpy as np

        from harness import Result

        point, place = job.cell.axes["point"], Path(os.environ["TOY_TRACE"])
        facts = [os.getppid(), os.environ.get("SLURMD_NODENAME"), os.environ.get("CUDA_VISIBLE_DEVICES")]
        with (place / f"ran-{point}").open("a") as file:
            file.write(" ".join(map(str, facts)) + "\\n")
        for step in range(2):
            job.advance(step + 1, 2)
            job.report("training", step, {"loss": 1 / (step + 1)})
        if (kill := place / f"kill-{point}").exists():
            while not (place / f"told-{point}").exists():  # the job may else die before it has told of the cell
                time.sleep(0.05)
            os.kill(os.getpid() if kill.read_text() == "worker" else os.getppid(), signal.SIGKILL)
            time.sleep(60)
        while (place / "hold").exists() or (place / f"hold-{point}").exists():
            time.sleep(0.05)
        rng = np.random.default_rng(job.seed_for("traced", point, job.cell.seed))
        right = rng.integers(0, 2, size=40).astype(np.float32)
        return Result(
            metrics={"right": float(right.mean())},
            count=len(right),
            samples={"id": [f"s{n}" for n in range(len(right))], "right": right},
            curves={"training": {"step": [0, 1], "loss": [1.0, 0.5]}},
        )
'''


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster; where its programs are missing, the tests are skipped."""
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        started.start()
        os.environ |= started.variables
        yield started
    finally:
        started.stop()
        os.environ.pop("SLURM_CONF", None)


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which the protocol `traced` leaves its traces; it is installed for this process and for jobs."""
    site, place = tmp_path / "site", tmp_path / "trace"
    info = site / "toy_jobs-1.0.dist-info"
    info.mkdir(parents=True)
    place.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-jobs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.protocols]\ntraced = toy_jobs:Traced\n")
    (site / "toy_jobs.py").write_text(TOYS)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [before])]))
    monkeypatch.setenv("TOY_TRACE", str(place))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.syspath_prepend(str(site))
    registry.refresh()
    yield place
    registry.refresh()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at files and at the queue follow each other quickly."""
    monkeypatch.setattr(driver, "PAUSE", 0.1)
    monkeypatch.setattr(driver, "EVERY", 0.4)
    monkeypatch.setattr(arrays_under_way, "PAUSE", 0.2)
