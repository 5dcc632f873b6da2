"""`harness check`: check that a plugin or suite does what the harness expects of its kind."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.common import find_kinds, print_json
from harness.cli.plugin_output import redirect_prints
from harness.discovery import registry
from harness.discovery.near_misses import find_near_misses
from harness.discovery.waiting import doing
from harness.errors import PluginBroken

if TYPE_CHECKING:
    from harness.discovery.reference import Reference
    from harness.testing.verdicts import Finding

SIGNS = {"holds": "ok  ", "fails": "FAIL", "not checked": "  - "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "plugin",
        help="a plugin as suites name it (timm:resnet18?pretrained=false), or a suite's name or file",
    )
    kinds = ", ".join(registry.KINDS)
    parser.add_argument("--kind", help=f"if several kinds use the name: {kinds}")


def main(given: argparse.Namespace) -> int:
    """Run the checks; return 1 if one fails."""
    with redirect_prints(given):
        is_file = Path(given.plugin).suffix == ".toml"
        kinds = ["suites"] if is_file else find_kinds(given.plugin, given.kind)
        verdicts = [_check_plugin(kind, given.plugin) for kind in kinds]
    if given.json:
        print_json(verdicts)
    else:
        for verdict in verdicts:
            _print_verdict(verdict)
    return int(any(v["verdict"] == "fails" for v in verdicts))


def _name(text: str) -> str:
    return text.partition("?")[0].partition(":")[0]


def _check_plugin(kind: str, text: str) -> dict[str, Any]:
    """Check one plugin as written, or with the options that its class calls smallest."""
    if kind == "suites":
        from harness.testing.kinds import check

        origin = {} if Path(text).suffix == ".toml" else _origin(registry.find(kind, text))
        return _verdict_facts(kind, text, {}, check(kind, text), origin)
    plugin = registry.find(kind, _name(text))
    reference = _complete_reference(plugin, text)
    findings = _run_checks(kind, plugin, reference, text)
    shown = {**({"(value)": reference.value} if reference.value else {}), **reference.options}
    verdict = _verdict_facts(kind, plugin.name, shown, findings, _origin(plugin))
    return {**verdict, "doubts": find_near_misses(kind, registry.load(plugin))}


def _complete_reference(plugin: registry.Plugin, text: str) -> Reference:
    """Return the reference; without options it gets the smallest that the plugin's class states."""
    from dataclasses import replace

    from harness.discovery.reference import parse_short
    from harness.testing.grids import smallest_options

    reference = parse_short(text)
    if reference.options or reference.value:
        return reference
    return replace(reference, options=smallest_options(registry.load(plugin)))


def _run_checks(kind: str, plugin: registry.Plugin, reference: Reference, text: str) -> Sequence[Finding]:
    """Check the plugin's object, or its reference if a suite has to name it."""
    from harness.discovery.parts import Resolver
    from harness.testing.kinds import check

    part = Resolver().resolve(kind, reference, text)
    if part.problem:
        raise PluginBroken(part.problem)
    given = part.object
    if kind in ("methods", "protocols") and plugin.distribution != registry.THIS_PROCESS:
        given = {"plugin": f"{plugin.distribution}/{plugin.name}", "options": dict(part.options)}
    with doing(f"checking {registry.full_name(plugin)}"):
        return check(kind, given)


def _origin(plugin: registry.Plugin) -> dict[str, str]:
    return {"distribution": plugin.distribution, "version": plugin.version, "target": plugin.target}


def _verdict_facts(
    kind: str, name: str, options: dict[str, Any], findings: Sequence[Finding], origin: dict[str, str]
) -> dict[str, Any]:
    states: list[str] = [f.status for f in findings]
    return {
        "name": name,
        "kind": kind,
        **origin,
        "options": options,
        "verdict": "fails" if "fails" in states else "holds",
        "counts": {state: states.count(state) for state in SIGNS},
        "checks": [{"check": f.check, "status": f.status, "message": f.message} for f in findings],
    }


def _print_verdict(verdict: dict[str, Any]) -> None:
    origin = f" from {verdict['distribution']} {verdict['version']}" if "distribution" in verdict else ""
    print(f"{verdict['name']} ({registry.singular(verdict['kind'])}){origin}")
    if verdict["options"]:
        print("  with " + ", ".join(f"{k} = {v!r}" for k, v in verdict["options"].items()))
    for found in verdict["checks"]:
        print(f"  {SIGNS[found['status']]}  {found['check']}")
        if found["message"]:
            print(f"          {found['message']}")
    for text in verdict.get("doubts", ()):
        print(f"  ?     {text}")
    counts = verdict["counts"]
    summary = f"{counts['holds']} hold, {counts['fails']} fail, {counts['not checked']} not checked"
    print(f"  {'does not conform' if verdict['verdict'] == 'fails' else 'conforms'}: {summary}")
