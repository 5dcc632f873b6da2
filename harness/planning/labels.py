"""Short labels of models and data sets, made from what was written and unique within a suite.

`imagefolder:/data/mine/pets` is called `pets`, and `timm:resnet18?checkpoint=/runs/mine.safetensors`
`resnet18 (mine)`. Labels decide no result and are in no cell's id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.discovery.reference import Reference, parse_references
from harness.errors import SuiteError
from harness.planning.patterns import find_meant

if TYPE_CHECKING:
    from harness.contract.cells import Part
    from harness.planning.given_labels import GivenLabel
    from harness.planning.suite import Suite

SHORTENED = {"models": "model", "datasets": "dataset"}
"""Kinds with short labels, and their coordinates; a metric's label names its number in records."""

KINDS = {**SHORTENED, "methods": "method", "metrics": "metric"}

WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".th", ".npz", ".onnx")
DATA = (".csv", ".tsv", ".parquet", ".npy", ".h5", ".json", ".jsonl", ".txt", ".zip", ".tar", ".tgz", ".gz")
PATH = re.compile(r"~|[a-z0-9+]{2,}://|\.{0,2}[/\\]|[A-Za-z]:[/\\]|[^/\\]+(?:[/\\][^/\\]+){2,}")
"""Matches the beginning of a path; a name with one slash, as hubs use, is none."""

COMMON = re.compile(
    r"(?:best|last|final|latest|model|weights?|checkpoint|ckpt|pytorch_model|model_best|epoch[-_=]?\d*|step[-_=]?\d*"
    r"|train|training|val|valid|validation|dev|test|testing|data|dataset|images?)",
    re.IGNORECASE,
)
"""Names of files and folders that say too little alone: the folder around them is named, too."""


def is_path(value: Any) -> bool:
    """Return whether a text is written like a path of a file or folder."""
    if not isinstance(value, str) or "\n" in value:
        return False
    return value.endswith(WEIGHTS + DATA) or PATH.match(value) is not None


def shorten_path(path: str, parts: int = 1) -> str:
    """Return the last parts of a path without a known suffix; one more if they say too little.

    >>> shorten_path("/data/very/long/pets"), shorten_path("runs/7/best.pt"), shorten_path("/a/b/x.csv", 2)
    ('pets', '7/best', 'b/x')
    """
    names = [name for name in re.split(r"[/\\]+", path.partition("?")[0]) if name not in ("", ".")]
    if not names:
        return path
    for suffix in WEIGHTS + DATA:
        if names[-1].endswith(suffix) and names[-1] != suffix:
            names[-1] = names[-1].removesuffix(suffix)
    if COMMON.fullmatch(names[-1]):
        parts += 1
    return "/".join(names[-parts:])


def shorten_reference(reference: Reference, parts: int = 1) -> str:
    """Return a reference's own label, or a short one from its value, its weights and its grid's point.

    `parts` is how many parts of a path are named.
    """
    if reference.label:
        return reference.label
    files = [
        shorten_path(value, parts)
        for name, value in reference.options.items()
        if name not in reference.point and is_path(value) and (value.endswith(WEIGHTS) or not reference.value)
    ][:1]
    if reference.value is not None:
        head = shorten_path(reference.value, parts) if is_path(reference.value) else reference.value
    else:
        head = reference.plugin
    inner = [*files, *(f"{k}={_shorten_value(v, parts)}" for k, v in reference.point.items())]
    return f"{head} ({', '.join(inner)})" if inner else head


def label_references(
    groups: Iterable[Sequence[Reference]], fixed: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return a label for every reference, by its `key`; equal ones in several groups share it.

    Two references of one group never share a label, unless it was given to both; nor do two of any groups
    that differ in value or options. They are told apart by more parts of their paths, else by the options in which they
    differ. `fixed` are labels given before: they stay, and are taken.
    """
    fixed = fixed or {}
    groups = [list(group) for group in groups]
    distinct = {r.key: r for group in groups for r in group}
    labels = dict(fixed) | {k: shorten_reference(r) for k, r in distinct.items() if k not in fixed}
    held: dict[str, list[str]] = {}
    for key, label in labels.items():
        held.setdefault(label, []).append(key)
    for label, keys in held.items():
        movable = [distinct[k] for k in keys if k not in fixed and not distinct[k].label]
        if movable and len(keys) > 1 and _must_differ(keys, distinct, fixed, groups):
            taken = {other for k, other in labels.items() if other != label or distinct.get(k) not in movable}
            labels |= _tell_apart(movable, taken)
    return labels


def _must_differ(
    keys: Sequence[str],
    distinct: Mapping[str, Reference],
    fixed: Mapping[str, str],
    groups: Sequence[Sequence[Reference]],
) -> bool:
    """Return whether references of one short label may not share it."""
    if any(k in fixed for k in keys):
        return True
    together = any(len({r.key for r in group} & set(keys)) > 1 for group in groups)
    return together or len({replace(distinct[k], label=None, tags={}).key for k in keys}) > 1


def _tell_apart(references: Sequence[Reference], taken: set[str]) -> dict[str, str]:
    """Return distinct labels of references that share their short one."""
    names = {name for r in references for name in r.options}
    differing = [n for n in sorted(names) if len({repr(r.options.get(n)) for r in references}) > 1]
    # alone against a fixed label: all its options may be the difference
    differing = differing or sorted(names)

    def with_options(reference: Reference) -> str:
        own = {n: v for n, v in reference.options.items() if n in differing and n not in reference.point}
        short = shorten_reference(
            Reference(reference.plugin, reference.point, reference.value, point=reference.point)
        )
        inner = ", ".join(f"{n}={_shorten_value(v, 1)}" for n, v in own.items())
        return f"{short} ({inner})" if inner else short

    ways: list[Callable[[Reference], str]] = [
        *(lambda r, parts=parts: shorten_reference(r, parts) for parts in (2, 3, 4)),
        with_options,
        lambda r: r.text,
    ]
    for way in ways:
        found = {r.key: way(r) for r in references}
        if len(set(found.values())) == len(found) and not taken & set(found.values()):
            return found
    return {r.key: f"{r.text} ({n + 1})" for n, r in enumerate(references)}


def _shorten_value(value: Any, parts: int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return shorten_path(value, parts) if is_path(value) else str(value)


class Labels:
    """The labels of a suite's models and data sets, and of those that a command adds.

    `given` are the labels of the store's plan of the suite (`read_given_labels`): what a command adds gets the
    label that it had, and none that stands for something else.
    """

    def __init__(self, suite: Suite, given: Mapping[str, Mapping[str, GivenLabel]] | None = None) -> None:
        self._labels: dict[str, dict[str, str]] = {}
        self._written: dict[str, dict[str, set[str | None]]] = {}
        self._meant: dict[tuple[str, str], set[str]] = {}
        self._given = {kind: (given or {}).get(name, {}) for kind, name in SHORTENED.items()}
        for kind, coordinate in KINDS.items():
            groups = []
            for grid in suite.grids:
                extra = [getattr(e, coordinate, None) for e in grid.include]
                entries = [*getattr(grid, kind), *(entry for entry in extra if entry is not None)]
                groups.append([r for entry in entries for r in _read_entry(entry)])
            if kind in SHORTENED:
                self._labels[kind] = label_references(groups)
            self._keep_written(kind, [r for group in groups for r in group])

    def add(
        self, kind: str, references: Sequence[Reference], identify: Callable[[Reference], str] | None = None
    ) -> None:
        """Label references beside the suite's own, whose labels stay.

        `identify` returns the identity of a reference; it is asked if the label is taken by another text.
        """
        if kind in SHORTENED:
            own, given = self._labels[kind], self._given[kind]
            new = {r.key: r for r in references if r.key not in own}
            known = dict(own)
            for label, thing in given.items():
                had = next((k for k, r in new.items() if thing.is_written(r) and k not in known), None)
                if had and label not in own.values():
                    known[had] = label
            for key, label in label_references([references], known).items():
                free = key not in known and label in given and label not in known.values()
                if free and identify and given[label].is_identified(identify(new[key])):
                    known[key] = label
            taken = {f"given {label}": label for label in given}
            found = label_references([references], known | taken)
            self._labels[kind] = {key: label for key, label in found.items() if key not in taken}
        self._keep_written(kind, references)

    def label(self, kind: str, reference: Reference) -> str:
        """Return the label of a reference."""
        return self._labels.get(kind, {}).get(reference.key) or reference.shown

    def match(self, kind: str, reference: Reference, pattern: Any) -> bool:
        """Return whether a pattern means a reference: by label; if it meets none, by exactly what was written."""
        return self._means(kind, pattern, self.label(kind, reference))

    def match_part(self, part: Part, pattern: Any) -> bool:
        """Return whether a pattern means a part, as `match` does."""
        return self._means(part.kind, pattern, part.label)

    def _means(self, kind: str, pattern: Any, label: str) -> bool:
        key = (kind, repr(pattern))
        if key not in self._meant:
            written = self._written.get(kind, {})
            self._meant[key] = find_meant(pattern, written, written)
        return label in self._meant[key]

    def _keep_written(self, kind: str, references: Iterable[Reference]) -> None:
        for r in references:
            texts = self._written.setdefault(kind, {}).setdefault(self.label(kind, r), set())
            texts |= {r.shown, r.text, r.value}
        self._meant.clear()


def _read_entry(entry: Any) -> list[Reference]:
    with suppress(SuiteError):  # its expansion reports what is wrong with it
        return parse_references(entry, "")
    return []


def shorten_old_labels(labels: Iterable[str]) -> dict[str, str]:
    """Return the short forms of labels as an older harness made them, which kept whole paths."""
    references = {label: Reference("", {}, label) for label in labels if label}
    short = label_references([list(references.values())])
    return {label: short[reference.key] for label, reference in references.items()}


def find_renamed(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the positions of `old` cells that `new` plans under other labels of model or data set.

    A cell that one plan shows under both labels is not renamed: two of its parts are the same.
    """

    def rest(cell: Mapping[str, Any]) -> str:
        at = {k: v for k, v in cell["at"].items() if k not in SHORTENED.values()}
        return repr((cell["id"], sorted(at.items(), key=str)))

    def place(cell: Mapping[str, Any]) -> str:
        return repr(sorted(cell["at"].items(), key=str))

    places: dict[str, set[str]] = {}
    for cell in new:
        places.setdefault(rest(cell), set()).add(place(cell))
    shown = {place(cell) for cell in old}
    return {
        n
        for n, cell in enumerate(old)
        if (now := places.get(rest(cell))) and place(cell) not in now and not now & shown
    }
