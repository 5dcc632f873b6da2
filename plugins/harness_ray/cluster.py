"""The connection to a Ray cluster, and how many actors it has room for."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import HarnessError

INSTALL = "pip install 'vision-harness[ray]'"


@dataclass(frozen=True)
class Share:
    """What an actor takes of its node: CPUs and GPUs, also fractions below 1."""

    cpus: float
    gpus: float = 0.0

    def __str__(self) -> str:
        return " and ".join(
            _count(getattr(self, kind.lower()), kind)
            for kind in ("CPUs", "GPUs")
            if getattr(self, kind.lower())
        )


def explain_missing() -> str | None:
    """Return how to install Ray if it is not there, else None."""
    if importlib.util.find_spec("ray") is not None:
        return None
    return f"executor ray: ray is not installed; {INSTALL}"


def connect(address: str | None, cpus: int | None = None) -> bool:
    """Connect this process to a cluster, or start one on this machine if no address is given.

    `cpus` is what a new one offers; by default the machine's. Returns False if this process was connected before,
    in which case whoever did that ends it. Raises HarnessError if there is no such cluster.
    """
    import ray

    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # by default workers give way to every other process, and then lose their caches to them all the time
    os.environ.setdefault("RAY_worker_niceness", "0")
    # without an address, Ray joins whatever cluster it finds on the machine
    own: dict[str, Any] = {"address": "local", "include_dashboard": False, "num_cpus": cpus}
    try:
        ray.init(
            **(own if address is None else {"address": address}),
            log_to_driver=False,
            logging_level="error",
        )
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        where = f"no cluster at '{address}'" if address is not None else "no cluster can be started here"
        raise HarnessError(
            f"executor ray: {where}: {(lines or [type(error).__name__])[0][:300]}; all nodes need the same version of "
            "Ray and the same token (RAY_AUTH_TOKEN, or ~/.ray/auth_token)"
        ) from None
    # Ray prints messages of its daemons to the standard output, which is for the command's answer
    ray._private.worker._worker_logs_enabled = False
    return True


def disconnect() -> None:
    """End the connection, and the cluster if it was started here."""
    import ray

    ray.shutdown()


def count_gpus() -> float:
    """Return the number of GPUs in the cluster."""
    import ray

    return float(ray.cluster_resources().get("GPU", 0))


def count_actors(share: Share) -> int:
    """Return how many actors the cluster's nodes have room for, at least 1: others may join."""
    import ray

    return max(1, count_room([node["Resources"] for node in ray.nodes() if node["Alive"]], share))


def check_room(share: Share) -> None:
    """Raise HarnessError if a cluster that no node will join has no room for a single actor, which would wait for ever."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not count_room(nodes, share):
        has = Share(*(max(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")))
        raise HarnessError(
            f"executor ray: a worker needs {share}, and this machine has {has}: ask for less, or give the address of a cluster"
        )


def count_room(nodes: Sequence[Mapping[str, float]], share: Share) -> int:
    """Return how many shares fit into nodes, given the resources of each.

    >>> count_room([{"CPU": 3, "GPU": 1}, {"CPU": 8}], Share(cpus=2))
    5
    >>> count_room([{"CPU": 3, "GPU": 1}, {"CPU": 8}], Share(cpus=1, gpus=0.5))
    2
    """
    wanted = {kind: n for kind, n in (("CPU", share.cpus), ("GPU", share.gpus)) if n}
    tolerance = 1e-6  # three thirds make one
    return sum(
        min(math.floor(node.get(kind, 0) / n + tolerance) for kind, n in wanted.items()) for node in nodes
    )


def describe_room(share: Share) -> str:
    """Return that an actor waits for room, with what it needs, and what the cluster has."""
    import ray

    try:
        free, whole = ray.available_resources(), ray.cluster_resources()
    except Exception:  # no connection at the moment; that is told elsewhere
        free = whole = {}
    kinds = [kind for kind in ("CPU", "GPU") if getattr(share, f"{kind.lower()}s")]
    has = ", ".join(f"{free.get(kind, 0):g} of {_count(whole.get(kind, 0), f'{kind}s')}" for kind in kinds)
    return f"waits for room in the cluster: it needs {share}, and free are {has};"


def _count(number: float, plural: str) -> str:
    return f"{number:g} {plural[:-1] if number == 1 else plural}"
