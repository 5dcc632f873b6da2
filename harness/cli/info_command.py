"""`harness info`: describe a plugin or suite: options, capabilities, origin, a line to paste."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.cli.common import find_kinds, print_json, redirect_prints
from harness.contract.declared import ask
from harness.discovery import docstrings, registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", help="a plugin's or suite's name, or distribution/name")
    parser.add_argument("--kind", help=f"if several kinds use the name: {', '.join(registry.KINDS)}")


def main(given: argparse.Namespace) -> int:
    """Describe the plugin; no other one is imported."""
    kinds = find_kinds(given.name, given.kind)
    found = [registry.find(kind, given.name.partition(":")[0]) for kind in kinds]
    with redirect_prints(given):
        described = [describe_plugin(p) for p in found]
    if given.json:
        print_json(described)
        return 0
    for facts in described:
        _print_facts(facts)
    return 0


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
        from harness.planning.suite import find_suite_file, load_suite_file

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
    from harness.discovery import options
    from harness.discovery.abilities import describe_abilities

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
        return f"harness import {plugin.name} FILE"
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
    return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in values.items()) + " }"


def _toml(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, Mapping):
        return _toml_table(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _json_plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | list | dict | None) else str(value)


def _print_facts(facts: dict[str, Any]) -> None:
    kind = registry.singular(facts["kind"])
    print(f"{facts['name']} ({kind}) from {facts['distribution']} {facts['version']}")
    print(f"  {facts.get('file') or facts['target']}")
    for line in (facts.get("title", "") + "\n" + facts["documentation"]).strip().splitlines():
        print(f"  {line}".rstrip())
    if "capabilities" in facts:
        able = "can" if facts["kind"] == "models" else "facts"
        if facts["capabilities"] or facts["kind"] == "models":
            print(f"  {able}: {', '.join(facts['capabilities']) or 'nothing the contract knows'}")
    if facts.get("options"):
        print("  options:")
        width = max(len(o["name"]) for o in facts["options"])
        for o in facts["options"]:
            default = "required" if o["required"] else f"default {_toml_or_none(o.get('default'))}"
            print(f"    {o['name']:<{width}}  {o['type']}, {default}")
            if o["documentation"]:
                print(f"    {'':<{width}}    {o['documentation']}")
    elif "options" in facts:
        print("  options: none")
    print(f"  {facts['example']}")


def _toml_or_none(value: Any) -> str:
    return "none" if value is None else _toml(value)
