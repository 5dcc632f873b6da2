"""One Ray cluster on this machine for all tests, and a distribution whose cells end in several ways."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.discovery import registry

CODE = '''
import os, signal, time
from pathlib import Path
import numpy as np
from harness import Result, Sample

class Split:
    ids, targets = ["a", "b"], np.array([0, 1])
    def __len__(self): return 2
    def __getitem__(self, n): return Sample(self.ids[n])

class Data:
    splits = ("test",)
    def load(self, split): return Split()

class Acts:
    """A cell that does what its method says."""
    needs_model = False
    def run(self, job):
        does, seed = job.method.does, job.cell.seed
        if does == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if does == "dies once":
            try:
                Path(job.method.flag).touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        if does == "fails":
            raise ValueError("deliberate")
        if does == "sleeps":
            time.sleep(0.5)
        if does == "meets":
            Path(job.method.flag, str(os.getpid())).touch()
            until = time.monotonic() + 100
            while len(os.listdir(job.method.flag)) < 3 and time.monotonic() < until:
                time.sleep(0.05)
        job.report("training", seed, {"loss": 1.0})
        job.show("sample", seed, np.full((4, 6, 3), 10 * seed, np.uint8))
        return Result(
            {
                "x": seed + 0.5,
                "pid": float(os.getpid()),
                "threads": float(os.environ.get("OMP_NUM_THREADS", "0")),
                "gpu": float(os.environ.get("CUDA_VISIBLE_DEVICES") or -1),
            },
            count=2,
            samples={"sample": ["a", "b"]},
            curves={"c": {"x": [0.0, 1.0]}},
            images={"end": np.full((4, 6, 3), seed, np.uint8)},
        )

class Way:
    def __init__(self, does: str = "ok", flag: str = ""):
        self.does, self.flag = does, flag
'''


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed distribution `ray-toys`."""
    site = tmp_path_factory.mktemp("site")
    info = site / "ray_toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ray-toys\nVersion: 1.0\n")
    points = {
        "datasets": "ray-d = ray_toys:Data",
        "protocols": "ray-p = ray_toys:Acts",
        "methods": "ray-w = ray_toys:Way",
    }
    (info / "entry_points.txt").write_text("".join(f"[harness.{k}]\n{v}\n" for k, v in points.items()))
    (site / "ray_toys.py").write_text(CODE)
    return site


@pytest.fixture(scope="session")
def ray_environment(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The environment of Ray's daemons, which is that of the workers; yields the folder of the cache."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'vision-harness[ray]'")
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        patch.setenv("HARNESS_CACHE", str(cache))
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for name in ("HARNESS_STORE", "HARNESS_LISTEN", "RAY_ADDRESS"):
            patch.delenv(name, raising=False)
        patch.syspath_prepend(str(site))
        registry.refresh()
        yield cache
    sys.modules.pop("ray_toys", None)
    registry.refresh()


@pytest.fixture(scope="session")
def cluster(ray_environment: Path) -> Iterator[Any]:
    """A cluster with room for two actors, and with what Ray takes for a GPU; nodes may come and go."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1, "include_dashboard": False}
    )
    yield cluster
    cluster.shutdown()


@pytest.fixture
def suite(ray_environment: Path) -> Callable[..., dict[str, Any]]:
    """`suite("ok", "dies", seeds=[0])`: the content of a suite with a method per way of ending."""

    def make(*does: str, flag: Path | None = None, **changes: Any) -> dict[str, Any]:
        more = {"flag": str(flag)} if flag else {}
        methods = [{"plugin": "ray-w", "label": d, "does": d, **more} for d in does]
        return {"name": "r", "protocol": "ray-p", "datasets": ["ray-d"], "methods": methods, **changes}

    return make
