"""Trees of classes: read from a file, and matched with the classes of predictions.

A file is JSON, names within names (`{"animal": {"cat": {}, "dog": {}}}`), or lines of `child<TAB>parent`. A tree of
JSON with several outermost names gets a root above them; of lines one name alone may be without a parent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError, OptionError, did_you_mean
from harness.inference.classes import normalise_class_name
from harness_data.roots import resolve_below_root

PACKAGED = Path(__file__).parent / "trees"
ROOT = "(root)"
"""The name of the root above several outermost names."""


@dataclass(frozen=True)
class ClassTree:
    """A tree of names: `paths` hold for each name those from below the root to itself, the root's is empty."""

    where: str
    """The file, for messages."""
    paths: Mapping[str, tuple[str, ...]]
    heights: Mapping[str, int]
    """Edges from each name down to the farthest leaf below it; 0 for a leaf."""

    def match(self, class_names: Sequence[str]) -> MatchedTree:
        """Return the tree with the nodes of these classes.

        Names match as written, else without regard to case and separators. Raises DataError for a class that the
        tree lacks, or that is its root.
        """
        loose: dict[str, list[str]] = {}
        for name in self.paths:
            loose.setdefault(normalise_class_name(name), []).append(name)
        nodes = []
        for name in map(str, class_names):
            alike = loose.get(normalise_class_name(name), [])
            if name not in self.paths and len(alike) != 1:
                raise DataError(f"{self.where}: has no class '{name}'{did_you_mean(name, self.paths)}")
            node = name if name in self.paths else alike[0]
            if not self.paths[node]:
                raise DataError(f"{self.where}: class '{name}' is the root, which contains all other classes")
            nodes.append(node)
        if twice := next((n for n in range(len(nodes)) if nodes[n] in nodes[:n]), None):
            first = class_names[nodes.index(nodes[twice])]
            raise DataError(
                f"{self.where}: classes '{first}' and '{class_names[twice]}' are both '{nodes[twice]}'"
            )
        return MatchedTree(self, [self.paths[node] for node in nodes])


@dataclass(frozen=True)
class MatchedTree:
    """A tree, and the paths of C classes in it: names from below the root to the class's own."""

    tree: ClassTree
    paths: Sequence[tuple[str, ...]]

    @property
    def depths(self) -> NDArray[np.int64]:
        """Edges from the root to each class, C."""
        return np.array([len(path) for path in self.paths], np.int64)

    def count_shared(self) -> NDArray[np.int64]:
        """Return the depth of the lowest common ancestor of each two classes, C×C; 0 is the root."""
        count, longest = len(self.paths), int(self.depths.max())
        numbers: dict[str, int] = {}
        table = np.full((count, longest), -1, np.int64)
        for row, path in enumerate(self.paths):
            table[row, : len(path)] = [numbers.setdefault(name, len(numbers)) for name in path]
        shared = np.zeros((count, count), np.int64)
        for level in range(longest):  # a name has one parent: equal at a level is equal at all above it
            column = table[:, level]
            shared += (column[:, None] == column[None, :]) & (column[:, None] >= 0)
        return shared

    def measure_heights(self) -> NDArray[np.int64]:
        """Return the height of the lowest common ancestor of each two classes, C×C."""
        root = next(name for name, path in self.tree.paths.items() if not path)
        above = [[self.tree.heights[name] for name in (root, *path)] for path in self.paths]
        shared = self.count_shared()
        return np.array(
            [[above[row][depth] for depth in depths] for row, depths in enumerate(shared)], np.int64
        )

    def group_at(self, level: int) -> NDArray[np.int64]:
        """Return a number for the ancestor of each class `level` edges below the root, C; for classes above, their own."""
        cut = [path[: min(level, len(path))] for path in self.paths]
        numbers = {path: n for n, path in enumerate(dict.fromkeys(cut))}
        return np.array([numbers[path] for path in cut], np.int64)


def find_tree(named: Path) -> Path:
    """Return the file that the option `tree` names: a path, itself or below $HARNESS_DATA_ROOT, or a packaged tree.

    Raises OptionError if there is none.
    """
    packaged = {path.stem: path for path in sorted(PACKAGED.glob("*.json"))}
    file = packaged.get(str(named)) or resolve_below_root(named)
    if not file.is_file():
        raise OptionError(
            f"tree: there is no file '{named}', nor a packaged tree{did_you_mean(str(named), packaged)}"
        )
    return file


def read_class_tree(file: Path) -> ClassTree:
    """Return the tree of a file; DataError in one line for what is no tree."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: can't be read: {error}") from None
    return parse_tree(text, str(file))


@lru_cache(maxsize=32)
def parse_tree(text: str, where: str) -> ClassTree:
    """Return the tree of a file's text; `where` starts messages.

    Raises DataError for a cycle, a name with two parents, several roots in lines, and what can't be understood.
    """
    parents = _parse_nested(text, where) if text.lstrip().startswith("{") else _parse_lines(text, where)
    roots = [name for name, parent in parents.items() if parent is None]
    paths: dict[str, tuple[str, ...]] = {}
    for name in parents:
        _trace(name, parents, paths, where)
    heights = dict.fromkeys(parents, 0)
    for name in sorted(parents, key=lambda name: -len(paths[name])):
        parent = parents[name]
        if parent is not None:
            heights[parent] = max(heights[parent], heights[name] + 1)
    if len(roots) > 1:  # lines have been refused
        paths = {ROOT: (), **{name: (_outermost(name, parents), *path) for name, path in paths.items()}}
        paths |= {name: (name,) for name in roots}
        heights[ROOT] = 1 + max(heights[name] for name in roots)
    return ClassTree(where, paths, heights)


def _outermost(name: str, parents: Mapping[str, str | None]) -> str:
    while (parent := parents[name]) is not None:
        name = parent
    return name


def _trace(
    name: str, parents: Mapping[str, str | None], paths: dict[str, tuple[str, ...]], where: str
) -> None:
    """Add the paths of a name and of all above it."""
    climbed: list[str] = []
    here: str | None = name
    while here is not None and here not in paths:
        if here in climbed:
            circle = " > ".join([*climbed[climbed.index(here) :], here])
            raise DataError(f"{where}: '{here}' is above itself: {circle}")
        climbed.append(here)
        here = parents[here]
    for step in reversed(climbed):
        parent = parents[step]
        paths[step] = () if parent is None else (*paths[parent], step)


def _parse_lines(text: str, where: str) -> dict[str, str | None]:
    """Return the parent of each name in lines of `child<TAB>parent`."""
    parents: dict[str, str | None] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = [word.strip() for word in line.split("\t")]
        if len(words) != 2 or not all(words):
            raise DataError(
                f"{where}:{number}: expected child and parent with a tab between, found '{line.strip()}'"
            )
        child, parent = words
        if child in lines and parents[child] != parent:
            raise DataError(
                f"{where}:{number}: '{child}' has the parent '{parent}', and '{parents[child]}' in line {lines[child]}"
            )
        parents[child], lines[child] = parent, lines.get(child, number)
    if not parents:
        raise DataError(f"{where}: holds no class")
    roots = sorted({str(parent) for parent in parents.values()} - parents.keys())
    if len(roots) > 1:
        raise DataError(f"{where}: '{roots[0]}' and '{roots[1]}' have no parent; only the root may have none")
    return {**dict.fromkeys(roots), **parents}


def _parse_nested(text: str, where: str) -> dict[str, str | None]:
    """Return the parent of each name of nested JSON objects."""
    try:
        # pairs, since a name that stands twice in one object would vanish
        nested = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is no JSON: {error}") from None
    parents: dict[str, str | None] = {}
    open_objects: list[tuple[_Pairs, str | None]] = [(nested, None)]
    while open_objects:
        pairs, parent = open_objects.pop()
        for name, below in pairs:
            if not name.strip():
                raise DataError(f"{where}: a name below {_quote(parent)} is empty")
            if name in parents:
                raise DataError(
                    f"{where}: '{name}' stands twice, below {_quote(parents[name])} and below {_quote(parent)}"
                )
            if not isinstance(below, _Pairs):
                raise DataError(
                    f"{where}: below '{name}' expected an object, {{}} for a leaf, found {below!r:.40}"
                )
            parents[name] = parent
            open_objects.append((below, name))
    if not parents:
        raise DataError(f"{where}: holds no class")
    return parents


def _quote(parent: str | None) -> str:
    return "no other" if parent is None else f"'{parent}'"


class _Pairs(list[Any]):
    """The pairs of a JSON object, to be told from an array."""
