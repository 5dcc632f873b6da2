"""Outputs of a frozen network on a split, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np

from harness.contract.cells import canonical_json
from harness.contract.declared import ask
from harness.errors import HarnessError
from harness.inference.blocks import InBlocks
from harness.inference.shared_blocks import SharedBlocks
from harness.inference.tree_files import read_tree, write_tree
from harness.inference.trees import count_tree_bytes, map_tree
from harness.records.files import cache_lock
from harness.records.paths import cache_dir
from harness.records.provenance import environment

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness.contract.running import Job

Tree = TypeVar("Tree")

MEMORY_LIMIT = 512 * 2**20


class SharedFiles(Protocol):
    """Where caches of several machines meet; a path is that of a cached file without its suffix."""

    def fetch(self, path: Path) -> bool:
        """Bring what others have computed, and return whether it is here now."""

    def put(self, path: Path) -> None:
        """Give others what was computed here."""


class StoppedEarly(HarnessError):
    """What was computed ahead of its use goes no further: the worker has something better to do."""


class FeatureCache:
    """A cache of arrays, or trees of them, by what decides them. Safe against kills and concurrent writers.

    Recent ones stay in memory, up to `MEMORY_LIMIT` bytes. With `remote`, what is not here is looked for there, and
    what is computed is put there.
    """

    def __init__(
        self, folder: Path | None = None, enabled: bool = True, remote: SharedFiles | None = None
    ) -> None:
        self.folder = folder or cache_dir() / "features"
        self.enabled = enabled
        self.remote = remote if enabled else None
        self.computed = 0  # number of trees that were not cached, in whole or in part
        self._recent: OrderedDict[str, Any] = OrderedDict()
        self._wanted: Callable[[], bool] = lambda: False

    def get(self, decides: Mapping[str, Any], compute: Callable[[], Tree]) -> Tree:
        """Return the tree of arrays that `decides` identifies, after `compute` if it is not cached.

        Tensors (on the CPU) in its result become arrays. A large computation that is given as `InBlocks` is
        shared with all workers that need the same at that time. Raises StoppedEarly inside `stopping_when`.
        """
        self._check()
        key = hashlib.sha256(canonical_json(decides).encode()).hexdigest()[:32]
        if key in self._recent:
            self._recent.move_to_end(key)
            return cast("Tree", self._recent[key])
        path = self.folder / key[:2] / key
        array = read_tree(path) if self.enabled else None
        if array is None and self.remote is not None and self.remote.fetch(path):
            array = read_tree(path)
        before = self.computed
        if array is None and self.enabled and isinstance(compute, InBlocks) and len(compute.cuts) > 1:
            blocks = SharedBlocks(
                path, self.folder, compute, str(decides.get("what", "features")), self._check
            )
            array = blocks.assemble()
            self.computed += blocks.computed
        if array is None:
            array = self._compute_alone(path, compute)
        if self.remote is not None and self.computed > before:
            self.remote.put(path)
        self._remember(key, array)
        return cast("Tree", array)

    @contextmanager
    def stopping_when(self, wanted: Callable[[], bool]) -> Iterator[None]:
        """Raise StoppedEarly in the block once `wanted()`: before another array or block, and from waiting."""
        before, self._wanted = self._wanted, wanted
        try:
            yield
        finally:
            self._wanted = before

    def _compute_alone(self, path: Path, compute: Callable[[], Any]) -> Any:
        with cache_lock(path, self._check) if self.enabled else nullcontext():
            array = read_tree(path) if self.enabled else None
            if array is None:
                array = map_tree(np.asarray, compute())
                self.computed += 1
                if self.enabled:
                    self._write(path, array)
        return array

    def _check(self) -> None:
        if self._wanted():
            raise StoppedEarly("the worker is wanted for other work")

    def _write(self, path: Path, tree: Any) -> None:
        write_tree(path, tree, self.folder)

    def _remember(self, key: str, array: Any) -> None:
        self._recent[key] = array
        while (
            sum(count_tree_bytes(a) for a in self._recent.values()) > MEMORY_LIMIT and len(self._recent) > 1
        ):
            self._recent.popitem(last=False)


def feature_key(
    job: Job,
    what: str,
    split: str | None,
    rows: NDArray[np.int64] | None,
    images: bool,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return everything that decides the arrays of `Job.features`, which explains the arguments."""
    cell = job.cell
    decides: dict[str, Any] = {
        "what": what,
        "model": json.loads(cell.model.identity) if cell.model else None,
        "weights": digest_job_weights(job),
        "precision": job.precision,
        "libraries": dict(environment()["libraries"]),
        **facts,
    }
    if images:
        decides["images"] = cell.images
    if split is not None:
        decides |= {"data": json.loads(cell.dataset.identity), "split": split, "limit": cell.limit}
        if left := ask(job.splits(split), "left_out"):
            decides["left out"] = list(left)
    if rows is not None:
        decides["rows"] = hashlib.sha256(np.ascontiguousarray(rows, np.int64).tobytes()).hexdigest()
    return decides


def digest_job_weights(job: Job) -> str:
    """Return the digest of the loaded weights of a job's model; empty without a module."""
    if ask(job.model, "module") is None:
        return ""
    return job.shared("weights", lambda: digest_module(job.model.module), of="model")


def digest_module(module: torch.nn.Module) -> str:
    """Return a digest of all parameters and buffers: names, types, shapes and bytes."""
    return digest_tensors(module.state_dict())


def digest_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a digest of tensors: names, types, shapes and bytes."""
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        flat = tensor.detach().to("cpu").contiguous().reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()
