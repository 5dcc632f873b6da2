"""A suite of one's own models and data, from plain words for them."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract.capability import capabilities
from harness.contract.declared import ask
from harness.discovery.options import read_options
from harness.discovery.parts import Resolver
from harness.discovery.plain_names import PlainName
from harness.discovery.reference import parse_references
from harness.errors import HarnessError, OptionError, SuiteError
from harness.inference.splits import find_test_split

PROTOCOL = "classification"
CLASSIFIES, ENCODES = "classifies images", "encodes texts"

HEAD = """\
# {title}
#
#   harness plan {file:<{width}}  what would run, what is done, and what is assumed
#   harness run {file:<{width}}   run what is missing, and print the table
#   harness report {name:<{width}}  the same as a page, with every record
#
# Relative paths are relative to this file's folder.
"""

ASSUMED = (
    '  # the order of its outputs is assumed; class_names = ["first", …] in place of num_classes tells it'
)

TAIL = """
# limit = 500                # so many random samples, the same for every model
# seeds = [0]
# images = "fast"            # prepare images faster, within one level of 255 per value

# [[tables]]                 # without a table of its own, a suite gets a plain one
# name = "{name}"
# rows = ["model"]
# columns = ["dataset"]
# values = {metrics}
"""


def compose_suite(
    name: str,
    models: Sequence[PlainName],
    datasets: Sequence[PlainName],
    metrics: Sequence[str],
    split: str | None = None,
    class_names: Path | None = None,
) -> dict[str, Any]:
    """Return the content of a suite that evaluates these models on these data sets.

    `class_names` names the outputs of the models with a checkpoint, else of all that take it. A model whose
    checkpoint has outputs that nothing defines gets the first data set's number of classes, so that their order
    is assumed, with a remark.
    Raises HarnessError for names that no model takes.
    """
    resolver = Resolver()

    @cache
    def count() -> int | None:
        return next(filter(None, (_count_classes(resolver, data, split) for data in datasets)), None)

    able = [model for model in models if "class_names" in _options(model)]
    named = [model for model in able if "checkpoint" in model.entry] or able
    if class_names is not None and not named:
        wrong = models[0].plugin if models else ""
        raise OptionError(f"--class-names {class_names}: model '{wrong}' has no outputs to be named")
    protocol = {"plugin": PROTOCOL, "split": split} if split else PROTOCOL
    return {
        "name": name,
        "protocol": protocol,
        "models": _tell_apart(
            [
                _define_outputs(resolver, model, count, class_names if model in named else None)
                for model in models
            ]
        ),
        "datasets": _tell_apart([dict(data.entry) for data in datasets]),
        "metrics": list(metrics),
    }


def write_own_suite(content: Mapping[str, Any], path: Path) -> None:
    """Write a suite file with comments; paths that are relative now become relative to the file's folder.

    Raises SuiteError if the file exists, or can't be written.
    """
    folder = path.absolute().parent
    name = str(content["name"])
    title = f"{_join(content['models'])} on {_join(content['datasets'])}"
    protocol = _write_toml(content["protocol"])
    file = shlex.quote(path.name)
    lines = [
        HEAD.format(title=title, file=file, name=name, width=max(len(file), len(name))),
        f"name = {_write_toml(name)}",
        f"protocol = {protocol}",
    ]
    for key in ("models", "datasets"):
        lines.append(f"{key} = [")
        for entry in content[key]:
            lines += [ASSUMED] if "num_classes" in entry else []
            lines.append(f"  {_write_toml(_move_paths(entry, folder))},")
        lines.append("]")
    metrics = _write_toml(content["metrics"])
    lines += [f"metrics = {metrics}", TAIL.format(name=name, metrics=metrics)]
    text = "\n".join(lines).rstrip() + "\n"
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise SuiteError(f"{path}: can't be written: a name in it is no Unicode, which TOML needs") from None
    try:
        with path.open("xb") as stream:
            stream.write(encoded)
    except FileExistsError:
        raise SuiteError(f"{path}: exists already: remove it, or name another file") from None
    except OSError as error:
        raise SuiteError(f"{path}: can't be written: {error.strerror or error}") from None


def _count_classes(resolver: Resolver, data: PlainName, split: str | None) -> int | None:
    """Return the number of a data set's classes, from the labels of its split if need be; None if unknown."""
    part = resolver.resolve("datasets", parse_references(data.entry, "data set")[0], "data set")
    if part.object is None or part.missing:
        return None
    if (found := _read_count(part.object)) is not None:
        return found
    tested = find_test_split(part.object.splits, split).name
    try:
        opened = part.object.load(tested) if tested else None
    except HarnessError:  # the run will say so
        return None
    if opened is None or (found := _read_count(opened)) is not None:
        return found
    labels = [int(label) for label in opened.targets if isinstance(label, int | np.integer)]
    return max(labels) + 1 if labels else None


def _read_count(data: Any) -> int | None:
    names = ask(data, "class_names")
    count: int | None = (
        len(names) if names and not isinstance(names, str | Path) else ask(data, "num_classes")
    )
    return count


def _define_outputs(
    resolver: Resolver, model: PlainName, count: Callable[[], int | None], class_names: Path | None
) -> dict[str, Any]:
    """Return a model's entry with what defines its outputs."""
    entry = dict(model.entry)
    options = _options(model)
    if class_names is not None:
        return {**entry, "class_names": class_names}
    if "num_classes" not in options or "checkpoint" not in entry:
        return entry
    part = resolver.resolve("models", parse_references(entry, "model")[0], "model")
    able = capabilities(part.object) if part.object is not None else (CLASSIFIES,)
    if {CLASSIFIES, ENCODES} & {*able} or (number := count()) is None:
        return entry
    return {**entry, "num_classes": number}


def _options(model: PlainName) -> set[str]:
    return {option.name for option in read_options(model.factory)[0]}


def _tell_apart(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries with different labels: a label that several have gets a number."""
    seen: dict[str, int] = {}
    found = []
    for entry in entries:
        label = _label(entry)
        seen[label] = seen.get(label, 0) + 1
        found.append(entry if seen[label] == 1 else {**entry, "label": f"{label} ({seen[label]})"})
    return found


def _label(entry: Mapping[str, Any]) -> str:
    return parse_references(entry, "entry")[0].shown


def _join(entries: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(", ".join(map(_label, entries)).split())


def _move_paths(value: Any, folder: Path) -> Any:
    """Return an option's value with relative paths made relative to a folder, and all paths as text."""
    if isinstance(value, Mapping):
        return {key: _move_paths(item, folder) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_move_paths(item, folder) for item in value]
    if isinstance(value, Path):
        plain = value.is_absolute() or str(value).startswith("~")
        return str(value) if plain else Path(os.path.relpath(value.absolute(), folder)).as_posix()
    return value


def _write_toml(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_write_key(k)} = {_write_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_write_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write_key(key: str) -> str:
    return key if key.replace("_", "a").replace("-", "a").isalnum() and key.isascii() else json.dumps(key)
