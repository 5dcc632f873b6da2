"""Descriptions of plugins and suites: options, capabilities, origin, a line to paste."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract.declared import ask
from harness.discovery import docstrings, options, registry
from harness.discovery.abilities import describe_abilities
from harness.discovery.listing import find_kinds
from harness.planning.suite import find_suite_file, load_suite_file
from harness.published.finding import find_published_file, read_published_set


def describe_name(name: str, kind: str | None = None) -> list[dict[str, Any]]:
    """Return a description of each plugin or suite of that name; no other plugin is imported.

    Raises PluginNotFound for an unknown name or kind.
    """
    kinds = find_kinds(name, kind)
    return [describe_plugin(registry.find(k, name.partition(":")[0])) for k in kinds]


def describe_plugin(plugin: registry.Plugin) -> dict[str, Any]:
    """Return a plugin's origin, documentation, options, capabilities and an example."""
    facts: dict[str, Any] = {
        "name": plugin.name,
        "kind": plugin.kind,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "target": plugin.target,
    }
    if plugin.kind == "suites":
        named = f"{plugin.distribution}/{plugin.name}"
        suite = load_suite_file(named)
        facts |= {
            "file": str(find_suite_file(named)),
            "title": suite.title,
            "documentation": suite.description,
            "tables": [t.name for t in suite.tables],
            "editions": {name: edition.description for name, edition in suite.editions.items()},
            "example": f"harness run {plugin.name}",
        }
        return facts
    if plugin.kind == "published":
        named = f"{plugin.distribution}/{plugin.name}"
        found = read_published_set(named)
        datasets = dict.fromkeys(dataset for _, dataset in found.numbers)
        return facts | {
            "file": str(find_published_file(named)),
            "title": f"{len(found.models)} models on {len(datasets)} data sets",
            "documentation": f"{found.source}. {found.note}".strip(),
            "datasets": list(datasets),
            "example": f"harness table --add-published {plugin.name}",
        }
    factory = registry.load(plugin)
    facts["documentation"] = docstrings.split_arguments(inspect.getdoc(factory))[0]
    documented = _option_docs(factory)
    declared, open_ended = options.read_options(factory) if callable(factory) else ((), False)
    facts["options"] = [
        {
            "name": o.name,
            "type": o.type_name,
            **({} if o.required else {"default": _json_plain(o.default)}),
            "required": o.required,
            "documentation": documented.get(o.name, ""),
        }
        for o in declared
    ]
    if open_ended:
        facts["options"].append(
            {"name": "**", "type": "any other option", "required": False, "documentation": ""}
        )
    facts["capabilities"] = describe_abilities(plugin.kind, factory)
    facts["example"] = _example(plugin, factory, declared)
    return facts


def _option_docs(factory: Any) -> dict[str, str]:
    """Return the documentation of each option, by the class, its constructor or its base classes."""
    documented: dict[str, str] = {}
    for base in reversed(factory.__mro__) if isinstance(factory, type) else [factory]:
        for text in (getattr(vars(base).get("__init__"), "__doc__", None), base.__doc__):
            documented |= docstrings.split_arguments(text)[1]
    return documented


def _example(plugin: registry.Plugin, factory: Any, declared: Sequence[Any]) -> str:
    """Return a line of a suite, or a command, that uses the plugin."""
    smallest = dict(ask(factory, "smallest") or {})
    smallest.pop("cell", None)
    chosen = smallest or _example_options(declared)
    table = _toml_table({"plugin": plugin.name, **chosen}) if chosen else f'"{plugin.name}"'
    if plugin.kind == "hooks":
        if ask(factory, "on_request"):
            return f"harness run SUITE --listen {plugin.name}"
        return f"it listens to every run, since {plugin.distribution} is installed"
    if plugin.kind == "executors":
        return f'executor = "{plugin.name}"'
    if plugin.kind == "importers":
        return f"harness import FILE --as {plugin.name}"
    if plugin.kind == "plots":
        more = {"options": chosen} if chosen else {}
        return f"plots = [{_toml_table({'name': plugin.name, 'kind': plugin.name, **more})}]"
    if plugin.kind == "summaries":
        return f'tables = [{{ name = "{plugin.name}", summary = {table} }}]'
    return f"protocol = {table}" if plugin.kind == "protocols" else f"{plugin.kind} = [{table}]"


def _example_options(declared: Sequence[Any]) -> dict[str, Any]:
    """Return the required options (and a leading path, which is what is read), else one with a default to show."""
    needed: dict[str, Any] = {o.name: "…" for o in declared if o.required or (o.is_path and o is declared[0])}
    other = next((o for o in declared if o.default not in (None, "", [], {})), None)
    return needed or ({other.name: _json_plain(other.default)} if other else {})


def _toml_table(values: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{k} = {write_toml(v)}" for k, v in values.items()) + " }"


def write_toml(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, Mapping):
        return _toml_table(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _json_plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | list | dict | None) else str(value)
