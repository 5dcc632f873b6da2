"""`harness info`: describe a plugin or suite: options, capabilities, origin, a line to paste."""

from __future__ import annotations

import argparse
from typing import Any

from harness.cli.common import print_json, redirect_prints
from harness.discovery import registry
from harness.planning.descriptions import describe_name, write_toml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", help="a plugin's or suite's name, or distribution/name")
    parser.add_argument("--kind", help=f"if several kinds use the name: {', '.join(registry.KINDS)}")


def main(given: argparse.Namespace) -> int:
    """Describe the plugin; no other one is imported."""
    with redirect_prints(given):
        described = describe_name(given.name, given.kind)
    if given.json:
        print_json(described)
        return 0
    for facts in described:
        _print_facts(facts)
    return 0


def _print_facts(facts: dict[str, Any]) -> None:
    kind = registry.singular(facts["kind"])
    print(f"{facts['name']} ({kind}) from {facts['distribution']} {facts['version']}")
    print(f"  {facts.get('file') or facts['target']}")
    for line in (facts.get("title", "") + "\n" + facts["documentation"]).strip().splitlines():
        print(f"  {line}".rstrip())
    for name, text in facts.get("editions", {}).items():
        print(f"  edition {facts['name']}@{name}: {text}")
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
    return "none" if value is None else write_toml(value)
