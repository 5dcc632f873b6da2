"""Files of trees of arrays: an array is an .npy file, a tree an .npz file of its arrays."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from harness.inference.trees import pack_tree, unpack_tree
from harness.records.files import write_cached

SUFFIXES = (".npy", ".npz")


def read_tree(path: Path) -> Any:
    """Return the tree that `write_tree` kept at a path (without suffix), or None if it is absent or damaged."""
    for file in (path.with_name(path.name + suffix) for suffix in SUFFIXES):
        try:
            found = np.load(file, allow_pickle=False)
            if file.suffix == ".npz":
                with found:
                    found = unpack_tree(json.loads(str(found["shape"])), found)
        except Exception:  # absent, or damaged, for which NumPy raises almost anything: compute again
            continue
        with suppress(OSError):
            os.utime(file)  # so that clearing by age spares what is in use
        return found
    return None


def write_tree(path: Path, tree: Any, cache: Path) -> bool:
    """Keep a tree at a path (without suffix), and return whether that worked; warn once if `cache` can't be written."""
    arrays: dict[str, Any] = {}

    def write(file: Path) -> None:
        if isinstance(tree, np.ndarray):
            np.save(file, tree, allow_pickle=False)
        else:
            shape = np.array(json.dumps(pack_tree(tree, "tree", arrays)))
            np.savez(file, shape=shape, **arrays)

    suffix = ".npy" if isinstance(tree, np.ndarray) else ".npz"
    place = path.with_name(path.name + suffix)
    return write_cached(place, write, cache, "--cache or $HARNESS_CACHE")
