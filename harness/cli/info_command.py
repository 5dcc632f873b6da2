"""`harness info`: one plugin or suite described: options, capabilities, origin, a line to paste."""

from __future__ import annotations

import argparse
import inspect
import json
from typing import Any

from harness import registry
from harness.cli.common import answer
from harness.errors import PluginNotFound, did_you_mean


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("name", help="a plugin's or suite's name, or distribution/name")
    parser.add_argument("--kind", help=f"when the name is used by several kinds: {', '.join(registry.KINDS)}")


def main(given: argparse.Namespace) -> int:
    """Imports the plugin it describes, and no other."""
    bare = given.name.rpartition("/")[2].partition(":")[0]
    kinds = [k for k in registry.KINDS if given.kind in (None, k, k.removesuffix("s"))]
    found = [
        registry.find(k, given.name.partition(":")[0])
        for k in kinds
        if bare in {p.name for p in registry.installed(k)}
    ]
    if not found:
        known = [p.name for k in kinds for p in registry.installed(k)]
        raise PluginNotFound(f"no plugin or suite named '{given.name}'{did_you_mean(bare, known)}")
    described = [describe(p) for p in found]
    if given.json:
        answer(described)
        return 0
    for facts in described:
        _print(facts)
    return 0


def describe(plugin: registry.Plugin) -> dict[str, Any]:
    """What is known of a plugin: origin, documentation, options, capabilities, an example."""
    facts: dict[str, Any] = {
        "name": plugin.name,
        "kind": plugin.kind,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "target": plugin.target,
    }
    if plugin.kind == "suites":
        from harness.suite import load, path_of

        suite = load(plugin.name)
        facts |= {
            "file": str(path_of(plugin.name)),
            "title": suite.title,
            "documentation": suite.description,
            "tables": [t.name for t in suite.tables],
            "example": f"harness run {plugin.name}",
        }
        return facts
    from harness import options
    from harness.contract import capabilities

    factory = registry.load(plugin)
    facts["documentation"] = inspect.getdoc(factory) or ""
    declared, open_ended = options.declared(factory) if callable(factory) else ((), False)
    facts["options"] = [
        {
            "name": o.name,
            "type": o.type_name,
            **({} if o.required else {"default": _plain(o.default)}),
            "required": o.required,
        }
        for o in declared
    ] + ([{"name": "**", "type": "any other option", "required": False}] if open_ended else [])
    if plugin.kind == "models":
        facts["capabilities"] = capabilities(factory)
    facts["example"] = _example(plugin, declared)
    return facts


def _example(plugin: registry.Plugin, declared: Any) -> str:
    parts = [f'plugin = "{plugin.name}"']
    for option in declared:
        if option.required:
            parts.append(f'{option.name} = "…"')
        elif option.default is not None:
            parts.append(f"{option.name} = {json.dumps(_plain(option.default))}")
    return f"{plugin.kind} = [{{ {', '.join(parts[:4])} }}]"


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | list | dict | None) else str(value)


def _print(facts: dict[str, Any]) -> None:
    print(
        f"{facts['name']} ({registry.singular(facts['kind'])}) from {facts['distribution']} {facts['version']}"
    )
    print(f"  {facts.get('file') or facts['target']}")
    for line in (facts.get("title", "") + "\n" + facts["documentation"]).strip().splitlines():
        print(f"  {line}")
    if "capabilities" in facts:
        print(f"  can: {', '.join(facts['capabilities']) or 'nothing the contract knows'}")
    if facts.get("options"):
        print("  options:")
        width = max(len(o["name"]) for o in facts["options"])
        for o in facts["options"]:
            default = "required" if o["required"] else f"default {o.get('default')!r}"
            print(f"    {o['name']:<{width}}  {o['type']}, {default}")
    print(f"  {facts['example']}")
