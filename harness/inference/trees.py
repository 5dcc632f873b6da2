"""Trees of arrays: what networks return and caches hold.

A tree is an array or tensor with one row per sample, a dict (by key) or a tuple (by position) of trees,
or a list with one tree per sample, whose arrays may differ in shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


def map_tree(change: Callable[[Any], Any], tree: Any) -> Any:
    """Return the tree with `change` applied to every leaf."""
    if isinstance(tree, Mapping):
        return {key: map_tree(change, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_tree(change, part) for part in tree))
    if isinstance(tree, list | tuple):
        return (list if isinstance(tree, list) else tuple)(map_tree(change, part) for part in tree)
    return change(tree)


def move_tree_to_device(tree: Any, device: torch.device) -> Any:
    """Return a batch on a device; leaves without a method `to` stay as they are."""

    def moved(leaf: Any) -> Any:
        return leaf.to(device, non_blocking=True) if hasattr(leaf, "to") else leaf

    return map_tree(moved, tree)


def move_tree_to_host(tree: Any, count: int) -> Any:
    """Return a batch's result on the CPU: floats as float32, other leaves as they are.

    Raises HarnessError if a list does not have one entry for each of the `count` samples.
    """
    if isinstance(tree, list):
        if len(tree) != count:
            raise HarnessError(f"forward returned a list of {len(tree)} for {count} samples, not one each")
        return map_tree(_fetch, tree)
    if isinstance(tree, Mapping):
        return {key: move_tree_to_host(part, count) for key, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(move_tree_to_host(part, count) for part in tree)
    return _fetch(tree)


def _fetch(leaf: Any) -> Any:
    import torch

    if not isinstance(leaf, torch.Tensor):
        return leaf
    return (leaf.float() if leaf.is_floating_point() else leaf).cpu()


def join_trees(parts: Sequence[Any]) -> Any:
    """Return the trees of successive batches or blocks, of tensors or arrays, as the tree of all their samples, in order."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: join_trees([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(join_trees(each) for each in zip(*parts, strict=True))
    if isinstance(first, list):
        return [entry for part in parts for entry in part]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(list(parts))


def count_tree_bytes(tree: Any) -> int:
    """Return the memory of a tree's arrays in bytes."""
    found: list[int] = []
    map_tree(lambda leaf: found.append(leaf.nbytes), tree)
    return sum(found)


def pack_tree(tree: Any, path: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Put a tree's arrays into `arrays` by their paths, and return its shape as JSON.

    Entries of a list with the same structure are laid end to end, with their lengths beside them.
    """
    if isinstance(tree, Mapping):
        return {"dict": [[key, pack_tree(value, f"{path}/{key}", arrays)] for key, value in tree.items()]}
    if isinstance(tree, tuple):
        return {"tuple": [pack_tree(value, f"{path}/{n}", arrays) for n, value in enumerate(tree)]}
    if not isinstance(tree, list):
        arrays[path] = np.asarray(tree)
        return path
    first = tree[0] if tree else None
    if isinstance(first, Mapping) and all(isinstance(t, Mapping) and t.keys() == first.keys() for t in tree):
        return {"columns": [[k, pack_tree([t[k] for t in tree], f"{path}/{k}", arrays)] for k in first]}
    ragged = tree if all(isinstance(t, np.ndarray) and t.ndim for t in tree) else []
    if len({(t.dtype, t.shape[1:]) for t in ragged}) == 1:
        arrays[path], arrays[f"{path}#"] = np.concatenate(tree), np.array([len(t) for t in tree])
        return {"ragged": path}
    return {"list": [pack_tree(value, f"{path}/{n}", arrays) for n, value in enumerate(tree)]}


def unpack_tree(shape: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the tree that `pack_tree` took apart."""
    if isinstance(shape, str):
        return arrays[shape]
    ((kind, parts),) = shape.items()
    if kind == "ragged":
        return np.split(arrays[parts], np.cumsum(arrays[f"{parts}#"])[:-1])
    if kind == "dict":
        return {key: unpack_tree(part, arrays) for key, part in parts}
    if kind == "columns":
        columns = {key: unpack_tree(part, arrays) for key, part in parts}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    found = [unpack_tree(part, arrays) for part in parts]
    return tuple(found) if kind == "tuple" else found
