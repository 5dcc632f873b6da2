"""References to plugins as users write them: `timm:resnet50`, or a table with `plugin = …`."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from harness.errors import SuiteError

RESERVED = ("plugin", "label", "tags", "grid", "options", "defaults")
"""Keys of a plugin's table that are not options of the plugin itself."""


@dataclass(frozen=True)
class Reference:
    """A plugin by name with the options given to it.

    `value` is the short form's text after the colon; it goes to the plugin's first parameter. `label` is
    its name in tables; `tags` are free facts for tables. `point` holds those of its options that a grid varies.
    """

    plugin: str
    options: Mapping[str, Any] = field(default_factory=dict)
    value: str | None = None
    label: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)
    point: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The label, or the value or plugin as written; `harness.planning.labels` shortens paths."""
        if self.label or not self.point:
            return self.label or self.value or self.plugin
        return f"{self.value or self.plugin} ({', '.join(f'{k}={v}' for k, v in self.point.items())})"

    @property
    def text(self) -> str:
        """The whole reference in short form, without label and tags."""
        head = self.plugin if self.value is None else f"{self.plugin}:{self.value}"
        options = (f"{k}={v if isinstance(v, str) else _to_toml(v)}" for k, v in self.options.items())
        return f"{head}?{'&'.join(options)}" if self.options else head

    @property
    def key(self) -> str:
        """Text that is equal for references with the same content."""
        options = repr(sorted(self.options.items(), key=str))
        return repr((self.plugin, options, self.value, self.label, sorted(self.tags.items(), key=str)))


def _to_toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_value(text: str) -> Any:
    """Return a value as TOML reads it (`3`, `true`, `[1, 2]`, `"x"`); other text is returned as it is."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def parse_short(text: str) -> Reference:
    """Parse `plugin`, `plugin:value` or `plugin:value?option=1&other=x`.

    >>> parse_short("timm:resnet18?pretrained=false").options
    {'pretrained': False}
    """
    head, _, query = text.partition("?")
    plugin, _, value = head.partition(":")
    if not plugin.strip():
        raise SuiteError(f"'{text}': expected a plugin name, such as 'timm:resnet50'")
    options: dict[str, Any] = {}
    for pair in filter(None, query.split("&")):
        key, equals, given = pair.partition("=")
        if not equals:
            raise SuiteError(f"'{text}': expected option=value after '?', found '{pair}'")
        options[key] = parse_value(unquote(given))
    return Reference(plugin.strip(), options, value or None)


def parse_references(given: Any, where: str) -> list[Reference]:
    """Return the references of a suite's entry; several if it has a `grid` of option values.

    Raises SuiteError, starting with `where`, for an entry that is no reference.
    """
    if isinstance(given, Reference):
        return [given]
    if isinstance(given, str):
        return [_parse_short_at(given, where)]
    if not isinstance(given, Mapping) or not isinstance(given.get("plugin"), str):
        raise SuiteError(f"{where}: expected 'plugin:value' or a table with plugin = \"…\", found {given!r}")
    base = _parse_short_at(given["plugin"], where)
    inner = given.get("options", {})
    if not isinstance(inner, Mapping):
        raise SuiteError(f"{where}: options must be a table, found {inner!r}")
    options = {**base.options, **{k: v for k, v in given.items() if k not in RESERVED}, **inner}
    label, tags = given.get("label"), given.get("tags", {})
    if not isinstance(tags, Mapping):
        raise SuiteError(f"{where}: tags must be a table, found {tags!r}")
    if label is not None and not isinstance(label, str):
        raise SuiteError(f"{where}: label must be a text, found {label!r}")
    if not isinstance(given.get("defaults", True), bool):
        raise SuiteError(f"{where}: defaults must be true or false, found {given['defaults']!r}")
    grid = given.get("grid", {})
    if not isinstance(grid, Mapping) or not all(isinstance(v, list) and v for v in grid.values()):
        raise SuiteError(f"{where}: grid must be a table of non-empty lists, found {grid!r}")

    def at(point: Mapping[str, Any]) -> Reference:
        named, tagged = _label_point(label, point), _tag_point(tags, point)
        return Reference(base.plugin, {**options, **point}, base.value, named, tagged, point)

    return [at(point) for point in _expand_grid(grid)]


def read_short(entry: str | Mapping[str, Any]) -> Reference | None:
    """Return the reference in an entry's short form, without its table's options; None if malformed."""
    text = entry if isinstance(entry, str) else entry.get("plugin")
    try:
        return parse_short(text) if isinstance(text, str) else None
    except SuiteError:
        return None


def complete_entry(entry: str | Mapping[str, Any], defaults: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return a suite's entry completed from `defaults` of its plugin; the entry's own values win.

    Tables are merged key by key, unless one of them names a plugin. An entry with `defaults = false` is unchanged.

    >>> complete_entry({"plugin": "gan", "lr": 0.1}, {"gan": {"lr": 0.001, "beta2": 0.9}})
    {'plugin': 'gan', 'lr': 0.1, 'beta2': 0.9}
    """
    short = read_short(entry)
    if short is None or short.plugin not in defaults:
        return entry
    if isinstance(entry, Mapping) and entry.get("defaults") is False:
        return entry
    table: dict[str, Any] = {"plugin": entry} if isinstance(entry, str) else dict(entry)
    inner = table.get("options")
    for key, value in defaults[short.plugin].items():
        if key in short.options:
            continue
        if isinstance(inner, Mapping) and key in inner and key not in RESERVED:
            table["options"] = {**table["options"], key: _merge(value, inner[key])}
        else:
            table[key] = _merge(value, table[key]) if key in table else value
    return table


def _merge(default: Any, own: Any) -> Any:
    tables = isinstance(default, Mapping) and isinstance(own, Mapping)
    if not tables or "plugin" in default or "plugin" in own:
        return own
    return {**default, **{k: _merge(default[k], v) if k in default else v for k, v in own.items()}}


def _parse_short_at(text: str, where: str) -> Reference:
    try:
        return parse_short(text)
    except SuiteError as error:
        raise SuiteError(f"{where}: {error}") from None


def _expand_grid(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _label_point(label: str | None, point: Mapping[str, Any]) -> str | None:
    if label is None or not point:
        return label
    return fill(label, point) if "{" in label else f"{label} ({', '.join(str(v) for v in point.values())})"


def _tag_point(tags: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    filled = {k: fill(v, point) if isinstance(v, str) else v for k, v in tags.items()}
    return {**point, **filled} if point else filled


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Replace every `{key}` in the text by its value; nothing else is interpreted (unlike str.format)."""
    for key, value in values.items():
        text = text.replace("{" + key + "}", str(value))
    return text
