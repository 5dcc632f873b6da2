"""Verdicts on whole plugins, by name or as objects: what `harness check` and `harness.check` return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

from harness.discovery import registry
from harness.discovery.listing import find_kinds
from harness.discovery.near_misses import find_near_misses
from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference, parse_short
from harness.discovery.waiting import doing
from harness.errors import PluginBroken, PluginNotFound, did_you_mean
from harness.testing.grids import smallest_options
from harness.testing.kinds import check
from harness.testing.verdicts import Finding

SIGNS = {"holds": "ok  ", "fails": "FAIL", "not checked": "  - "}


@dataclass(frozen=True, repr=False)
class PluginVerdict:
    """What the checks of its kind found about one plugin, and the options it was made with."""

    name: str
    kind: str
    findings: Sequence[Finding]
    options: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    """Distribution, version and target, if it is installed."""
    doubts: Sequence[str] = ()
    """Attributes whose names are nearly those that the harness asks for."""

    @property
    def holds(self) -> bool:
        """Whether no check fails."""
        return not self.failed

    @property
    def failed(self) -> list[Finding]:
        """The checks that fail; each `message` says what was expected and found, and why it matters."""
        return [f for f in self.findings if f.status == "fails"]

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON-able data."""
        states: list[str] = [f.status for f in self.findings]
        return {
            "name": self.name,
            "kind": self.kind,
            **self.origin,
            "options": dict(self.options),
            "verdict": "holds" if self.holds else "fails",
            "counts": {state: states.count(state) for state in SIGNS},
            "checks": [{"check": f.check, "status": f.status, "message": f.message} for f in self.findings],
            "doubts": list(self.doubts),
        }

    def __str__(self) -> str:
        lines = [self._title()]
        if self.options:
            lines.append("  with " + ", ".join(f"{k} = {v!r}" for k, v in self.options.items()))
        for found in self.findings:
            lines.append(f"  {SIGNS[found.status]}  {found.check}")
            if found.message:
                lines.append(f"          {found.message}")
        lines += [f"  ?     {text}" for text in self.doubts]
        return "\n".join([*lines, f"  {self._summary()}"])

    def __repr__(self) -> str:
        failed = [f"  {SIGNS[f.status]}  {f.check}: {f.message}" for f in self.failed]
        return "\n".join([f"{self._title()} {self._summary()}", *failed])

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a table of the checks."""
        rows = "".join(
            f"<tr><td>{escape(f.status)}</td><td>{escape(f.check)}</td><td>{escape(f.message)}</td></tr>"
            for f in self.findings
        )
        return f"<p>{escape(self._title())} {escape(self._summary())}</p><table>{rows}</table>"

    def _title(self) -> str:
        origin = f" from {self.origin['distribution']} {self.origin['version']}" if self.origin else ""
        return f"{self.name} ({registry.singular(self.kind)}){origin}"

    def _summary(self) -> str:
        counts = self.to_dict()["counts"]
        words = f"{counts['holds']} hold, {counts['fails']} fail, {counts['not checked']} not checked"
        return f"{'conforms' if self.holds else 'does not conform'}: {words}"


def check_named(text: str, kind: str | None = None) -> list[PluginVerdict]:
    """Check each plugin of that name, or the suite of that name or file, and return a verdict for each kind.

    Without options, a plugin is made with those that its class calls smallest. Raises PluginNotFound for an
    unknown name or kind, PluginBroken or OptionError for a plugin that can't be made.
    """
    is_file = Path(text).suffix == ".toml"
    kinds = ["suites"] if is_file else find_kinds(text, kind)
    return [_check_plugin(kind, text) for kind in kinds]


def check_object(given: object, kind: str | None) -> PluginVerdict:
    """Check a plugin's object, which need not be installed. Raises PluginNotFound for an unknown kind."""
    plural = next((k for k in registry.KINDS if kind in (k, k.removesuffix("s"))), None)
    if kind is None:
        raise PluginNotFound(f'an object of {type(given).__name__} needs its kind, as in kind="models"')
    if plural is None:
        raise PluginNotFound(f"--kind {kind}: no such kind{did_you_mean(kind, registry.KINDS)}")
    if isinstance(given, type):
        given = given(**smallest_options(given))
    return PluginVerdict(type(given).__name__, plural, check(plural, given))


def _check_plugin(kind: str, text: str) -> PluginVerdict:
    """Check one plugin as written, or with the options that its class calls smallest."""
    if kind == "suites":
        origin = {} if Path(text).suffix == ".toml" else _origin(registry.find(kind, text))
        return PluginVerdict(text, kind, check(kind, text), origin=origin)
    if kind == "published":
        return PluginVerdict(text, kind, check(kind, text), origin=_origin(registry.find(kind, text)))
    plugin = registry.find(kind, text.partition("?")[0].partition(":")[0])
    reference = _complete_reference(plugin, text)
    findings = _run_checks(kind, plugin, reference, text)
    shown = {**({"(value)": reference.value} if reference.value else {}), **reference.options}
    doubts = find_near_misses(kind, registry.load(plugin))
    return PluginVerdict(plugin.name, kind, findings, shown, _origin(plugin), doubts)


def _complete_reference(plugin: registry.Plugin, text: str) -> Reference:
    """Return the reference; without options it gets the smallest that the plugin's class states."""
    reference = parse_short(text)
    if reference.options or reference.value:
        return reference
    return replace(reference, options=smallest_options(registry.load(plugin)))


def _run_checks(kind: str, plugin: registry.Plugin, reference: Reference, text: str) -> Sequence[Finding]:
    """Check the plugin's object, or its reference if a suite has to name it."""
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
