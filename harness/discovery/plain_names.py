"""Plain words for plugins: a bare name, a checkpoint file or a folder, as the entry of a suite that means it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.contract.declared import ask
from harness.discovery import registry
from harness.discovery.options import read_options
from harness.discovery.reference import parse_short
from harness.errors import HarnessError, OptionError, PluginNotFound, SuiteError, did_you_mean, nearest

WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz")
"""Suffixes by which a text is taken for a checkpoint file, whether it exists or not."""

NEAR_FILES = 2000
"""So many names in a folder are compared with a wrong one."""


@dataclass(frozen=True)
class PlainName:
    """An entry of a suite, as a table with `plugin = …`, and what was taken for granted."""

    kind: str
    entry: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return parse_short(self.entry["plugin"]).plugin

    @property
    def factory(self) -> Any:
        """The plugin's class or function. Raises PluginBroken if it can't be imported."""
        return registry.load(registry.find(self.kind, self.plugin))


def find_model(text: str, architecture: str | None = None) -> PlainName:
    """Return the model that a text means: a reference, a bare name, a checkpoint file, or a folder of a model.

    A checkpoint needs an `architecture`, itself a reference or bare name. Raises HarnessError with the nearest name.
    """
    if _names_plugin("models", text):
        _refuse_architecture(text, architecture)
        return PlainName("models", _read_reference("models", text))
    path = Path(text).expanduser()
    if path.is_dir():
        _refuse_architecture(text, architecture)
        return _recognise("models", path.absolute(), text)
    knowing = [] if path.is_file() else _knowing(text)
    if not knowing and (path.is_file() or path.suffix.lower() in WEIGHTS or architecture is not None):
        return _find_checkpoint(path, text, architecture)
    _refuse_architecture(text, architecture)
    return _choose_by_name(text, knowing)


def find_dataset(text: str) -> PlainName:
    """Return the data set that a text means: a reference, or a file or folder that a plugin recognises.

    Raises HarnessError with the nearest name.
    """
    if _names_plugin("datasets", text):
        notes = (
            (f"'{text}' is the data set of that name: the folder is {shlex.quote(f'./{text}')}",)
            if Path(text).is_dir()
            else ()
        )
        return PlainName("datasets", _read_reference("datasets", text), notes)
    path = Path(text).expanduser()
    root = os.environ.get("HARNESS_DATA_ROOT")
    if not path.exists() and root and (Path(root) / path).exists():
        path = Path(root) / path
    if not path.exists():
        names = [p.name for p in registry.installed("datasets")]
        raise SuiteError(
            f"{text}: no such file or folder, nor a data set of that name{_near_file(path, names)}"
        )
    return _recognise("datasets", path, text)


def _names_plugin(kind: str, text: str) -> bool:
    """Return whether a text is a reference: it begins with an installed plugin's name."""
    head = text.partition("?")[0].partition(":")[0]
    return head.rpartition("/")[2] in {p.name for p in registry.installed(kind)} and not head.startswith(
        (".", "/", "~")
    )


def _read_reference(kind: str, text: str) -> dict[str, Any]:
    """Return a reference as a table, so that each of its options can be seen and moved."""
    short = parse_short(text)
    factory = registry.load(registry.find(kind, short.plugin))
    options = dict(short.options)
    plugin = short.plugin
    if short.value is not None:
        declared = read_options(factory)[0]
        if declared and declared[0].is_path and declared[0].name not in options:
            options = {declared[0].name: Path(short.value), **options}
        else:
            plugin = f"{plugin}:{short.value}"
    by_name = {option.name: option for option in read_options(factory)[0]}
    for name, value in options.items():
        if isinstance(value, str) and name in by_name and by_name[name].is_path:
            options[name] = Path(value)
    return {"plugin": plugin, **options}


def _refuse_architecture(text: str, architecture: str | None) -> None:
    if architecture is not None:
        raise SuiteError(f"--arch {architecture}: is for a checkpoint file, and '{text}' is none")


def _find_checkpoint(path: Path, text: str, architecture: str | None) -> PlainName:
    if not path.is_file():
        raise SuiteError(f"{text}: no such checkpoint file{_near_file(path)}")
    if architecture is None:
        raise SuiteError(
            f"{text}: a checkpoint does not say which architecture it is of: add --arch NAME, such as --arch resnet50 "
            "or --arch torchvision:resnet50"
        )
    found = find_model(architecture)
    if "checkpoint" not in {option.name for option in read_options(found.factory)[0]}:
        raise OptionError(f"--arch {architecture}: model '{found.plugin}' takes no checkpoint")
    if "checkpoint" in found.entry:
        raise SuiteError(f"--arch {architecture}: names a checkpoint itself, and '{text}' is another")
    entry = {"plugin": found.entry["plugin"], "label": path.stem, **found.entry, "checkpoint": path}
    return PlainName("models", entry, found.notes)


def _known_names(plugin: registry.Plugin) -> frozenset[str]:
    """Return the names that a model plugin knows; none if it can't be imported or does not say."""
    try:
        names = ask(registry.load(plugin), "known_names")
        return frozenset(names()) if names else frozenset()
    except HarnessError:
        return frozenset()


def _knowing(text: str) -> list[str]:
    """Return the model plugins that know a name, with or without the tag of its weights."""
    head = re.split(r"[./]", text, maxsplit=1)[0]
    return [p.name for p in registry.installed("models") if {text, head} & _known_names(p)]


def _choose_by_name(text: str, knowing: Sequence[str]) -> PlainName:
    """Return the first of the model plugins that know a name. Raises PluginNotFound if there is none."""
    if not knowing:
        plugins = registry.installed("models")
        names = [p.name for p in plugins]
        if _names_plugin("datasets", text):
            raise PluginNotFound(
                f"{text}: is a data set, and no model: the model comes first, then the data set"
            )
        known = {name for plugin in plugins for name in _known_names(plugin)}
        hint = _near_file(Path(text), [*names, *known]) or did_you_mean(text, names)
        raise PluginNotFound(f"{text}: no such file, and no model of that name{hint}")
    first, *others = knowing
    more = f" ({', '.join(f'{other}:{text}' for other in others)} has that name, too)" if others else ""
    notes = (f"'{text}' was taken for {first}:{text}{more}",) if others else ()
    return PlainName("models", {"plugin": f"{first}:{text}"}, notes)


def _recognising(kind: str, path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the plugins that recognise a file or folder, with the options to use it with."""
    found: dict[str, Mapping[str, Any]] = {}
    for plugin in registry.installed(kind):
        try:
            recognise = ask(registry.load(plugin), "recognise")
            options = recognise(path) if recognise else None
        except (HarnessError, OSError):  # a broken plugin, or a folder that may not be read
            continue
        if options is not None:
            found[plugin.name] = options
    return found


def _recognise(kind: str, path: Path, text: str) -> PlainName:
    """Return the entry of the plugin that recognises a file or folder. Raises SuiteError for none, or several."""
    found = _recognising(kind, path)
    if len(found) == 1:
        ((name, options),) = found.items()
        label = path.resolve().name or name
        return PlainName(kind, {"plugin": name, "label": label, **options})
    if found:
        first = next(iter(found))
        raise SuiteError(
            f"{text}: {' and '.join(found)} can read it: say which, such as {_quote(f'{first}:{text}')}"
        )
    what = registry.singular(kind)
    if path.is_dir() and not any(path.iterdir()):
        raise SuiteError(f"{text}: the folder is empty")
    if kind == "models":
        raise SuiteError(
            f"{text}: no model that a plugin recognises; name its plugin, or its checkpoint file"
        )
    flat = path.is_dir() and not any(inner.is_dir() for inner in path.iterdir())
    if flat and _recognising(kind, path.absolute().parent):
        raise SuiteError(
            f"{text}: holds no class folders of its own; did you mean the folder above, {_quote(path.parent)}?"
        )
    expected = "expected <class>/*.jpg or <split>/<class>/*.jpg, or what another data set plugin reads"
    raise SuiteError(f"{text}: no {what} is recognised there: {expected} (harness list datasets)")


def _near_file(path: Path, more: Iterable[str] = ()) -> str:
    """Return the tail of a message: the nearest name beside a path, or among others."""
    try:
        beside = [entry.name for entry, _ in zip(os.scandir(path.parent), range(NEAR_FILES), strict=False)]
    except OSError:
        return f"; the folder {path.parent} does not exist either" if str(path.parent) != "." else ""
    if (near := nearest(path.name, beside)) is not None:
        return f"; did you mean {_quote(path.parent / near)}?"
    near = nearest(path.name, more)
    return f"; did you mean '{near}'?" if near else ""


def _quote(path: object) -> str:
    """Return a path in quotes, such that a shell reads it."""
    quoted = shlex.quote(str(path))
    return f"'{path}'" if quoted == str(path) else quoted
