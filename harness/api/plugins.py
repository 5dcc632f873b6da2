"""Facts about what is installed: `harness.check`, `harness.info`, `harness.list_plugins`, `harness.doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.api.keywords import refusing_unknown
from harness.errors import SuiteError

if TYPE_CHECKING:
    from harness.testing.plugin_verdicts import PluginVerdict


@refusing_unknown()
def check(plugin: object, *, kind: str | None = None) -> list[PluginVerdict]:
    """Check that a plugin or suite does what the harness expects of its kind.

    `plugin` is a name as suites write it ("timm:resnet18?pretrained=false"), a suite's name or file, or a
    plugin's class or object. An object needs its `kind` ("models", …); a name needs it only to choose among
    several kinds, which have a verdict each otherwise.
    """
    from harness.testing.plugin_verdicts import check_named, check_object

    if isinstance(plugin, str | Path):
        return check_named(str(plugin), kind)
    return [check_object(plugin, kind)]


@refusing_unknown()
def info(name: str, *, kind: str | None = None) -> list[dict[str, Any]]:
    """Describe each plugin or suite of that name: documentation, options, capabilities, origin, an example."""
    from harness.planning.descriptions import describe_name

    return describe_name(name, kind)


@refusing_unknown()
def list_plugins(kind: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return name, distribution, version and target of all installed plugins by kind, or of one kind."""
    from harness.discovery.listing import list_plugins as listed

    return listed(kind)


@refusing_unknown()
def doctor(*, store: str | Path | None = None, clear_leases: bool | Literal["all"] = False) -> dict[str, Any]:
    """Import every plugin, and return facts about them, versions, devices, cache, store and leases.

    Plugins that can't be used are in `["broken"]`, each with its reason and traceback, and names that several
    distributions claim in `["conflicts"]`. `["leases"]` are the store's cells under way, with their holders. With
    `clear_leases`, those of dead workers are removed first, or "all", whose living holders' cells may then be
    run twice; those removed are in `["cleared"]`. Raises SuiteError for another value, StoreError if it can't be done.
    """
    if clear_leases not in (True, False, "all"):
        raise SuiteError(f"clear_leases: expected True, False or 'all', found {clear_leases!r}")
    from harness.running.diagnosis import collect_facts

    return collect_facts(store, clear_leases)
