"""An array of the feature cache that several workers compute in blocks, each under a lease."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.inference.blocks import InBlocks
from harness.inference.tree_files import read_tree, write_tree
from harness.inference.trees import join_trees
from harness.long_work import long_work
from harness.records.leases import Holder, Leases

SOON, LATE = 0.02, 0.5
"""Seconds between two looks at what others have done: at first, and after a while."""

PATIENCE = 600.0
"""Seconds without a new block after which a worker that waits makes one that another holds: that one may hang,
though its process lives. At worst, a block is made twice."""


class _Done(NamedTuple):
    tree: Any


class _Take(NamedTuple):
    """A block to compute, by its number, or with None the joining of all; and whether its lease is ours."""

    block: int | None
    leased: bool = True


class SharedBlocks:
    """The blocks of one array: whoever needs the array takes free ones, waits for the rest, and the last joins them.

    They lie in a folder beside the array at `path`, and go when it is there. A worker that is killed loses the
    block it was at: its lease is taken over. `check` is called between blocks and while waiting, and may raise.
    """

    def __init__(
        self, path: Path, cache: Path, work: InBlocks[Any], what: str, check: Callable[[], None]
    ) -> None:
        self.path, self.cache, self.work, self.what, self.check = path, cache, work, what, check
        self.cuts = work.cuts
        how = f"{path.name} {work.count} {work.batch_size} {work.batches} {work.place}"
        self.id = hashlib.sha256(how.encode()).hexdigest()[:32]
        self.folder = path.with_name(f"{path.name}.blocks")
        self.computed = False
        """Whether this worker did a part of the work."""
        self._leases = Leases(cache / "leases")
        self._own: dict[int, tuple[Any, float]] = {}
        self._done: set[int] = set()
        self._news = time.monotonic()
        self._holder: Holder | None = None

    def assemble(self) -> Any:
        """Return the array (or tree), once all its blocks are there; None if the cache can't be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        with closing(self._leases):
            while not isinstance(step := self._next() or self._wait(), _Done):
                if (made := self._do(step)) is not None:
                    return made
        if self._own:  # a block kept after the others were joined and removed
            shutil.rmtree(self.folder, ignore_errors=True)
        return step.tree

    def _next(self) -> _Done | _Take | None:
        """Return the finished array, else what is free to do now, else None: others are at all that is left."""
        self.check()
        if (found := read_tree(self.path)) is not None:
            return _Done(found)
        if (done := self._find_done()) != self._done:
            self._done, self._news = done, time.monotonic()
            self.work.advance(self._count_done(), self.work.count)
        left: list[int | None] = [n for n in range(len(self.cuts)) if n not in done]
        for block in left or [None]:
            self._holder = self._leases.take(self._lease(block))
            if self._holder is None:
                return _Take(block)
        if time.monotonic() - self._news > PATIENCE:
            self._news = time.monotonic()
            return _Take((left or [None])[0], leased=False)
        return None

    def _wait(self) -> _Done | _Take:
        """Return what `_next` returns as soon as it returns something."""
        pause = SOON
        with long_work(f"waiting for {self._holder}, which computes a part of the {self.what}"):
            while (step := self._next()) is None:
                time.sleep(pause)
                pause = min(1.5 * pause, LATE)
        return step

    def _do(self, step: _Take) -> Any:
        """Compute a block that was taken, or join all and return the array; None if another has already done it."""
        block = step.block
        try:
            if read_tree(self.path) is not None:
                return None
            if block is None:
                return self._join()
            if not self._file(block).exists():
                self._compute(block)
        finally:
            if step.leased:
                self._leases.give(self._lease(block))
        return None

    def _compute(self, block: int) -> None:
        before = self._count_done()
        tree, seconds = self.work.time_part(
            *self.cuts[block], lambda done, _: self.work.advance(before + done, self.work.count)
        )
        self.computed, self._own[block] = True, (tree, seconds)
        write_tree(self._stem(block), {"tree": tree, "seconds": np.array(seconds)}, self.cache)

    def _join(self) -> Any:
        """Return the array of all blocks, and keep it in place of them; None if a block can't be read."""
        parts = []
        for block in range(len(self.cuts)):
            if (part := self._own.get(block) or self._read(block)) is None:
                self._file(block).unlink(missing_ok=True)  # damaged: to be computed again
                return None
            parts.append(part)
        # of one worker: the sum of the seconds of all, who computed side by side
        rate = self.work.count / sum(seconds for _, seconds in parts)
        tree = self.work.finish(join_trees([tree for tree, _ in parts]), rate)
        self.computed = True
        if write_tree(self.path, tree, self.cache):
            shutil.rmtree(self.folder, ignore_errors=True)
        return tree

    def _read(self, block: int) -> tuple[Any, float] | None:
        found = read_tree(self._stem(block))
        return None if found is None else (found["tree"], float(found["seconds"]))

    def _find_done(self) -> set[int]:
        """Return the blocks that are there, in memory or on disk."""
        try:
            files = {file.stem for file in self.folder.iterdir()}
        except OSError:
            files = set()
        return {n for n in range(len(self.cuts)) if n in self._own or self._stem(n).name in files}

    def _count_done(self) -> int:
        return sum(stop - start for n, (start, stop) in enumerate(self.cuts) if n in self._done)

    def _lease(self, block: int | None) -> str:
        """Return the id of a block's lease, or of that for the joining."""
        return f"{self.id}-{len(self.cuts) if block is None else block}"

    def _stem(self, block: int) -> Path:
        return self.folder / f"{self.id}-{block}"

    def _file(self, block: int) -> Path:
        return self._stem(block).with_suffix(".npz")
