"""Names of a new package: the plugin's, the module's and the class's, checked before anything is written."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from harness.discovery import registry
from harness.errors import HarnessError, OptionError, did_you_mean

GROUPS = {
    "model": "models",
    "dataset": "datasets",
    "metric": "metrics",
    "method": "methods",
    "loss": "methods",
    "fusion": "methods",
    "protocol": "protocols",
    "suite": "suites",
    "published": "published",
    "summary": "summaries",
    "plot": "plots",
    "listener": "hooks",
    "executor": "executors",
    "importer": "importers",
}
"""The kinds that `harness new` can make, each with the group of its entry point."""

FUNCTIONS = ("metric", "summary")
"""The kinds whose plugin is a function."""

PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 32
TAKEN = ("harness", "test", "tests", "try")
"""Names of folders and packages with another meaning."""


@dataclass(frozen=True)
class PackageNames:
    """The names of a new plugin in each place."""

    kind: str
    plugin: str

    @property
    def module(self) -> str:
        """The import package: `my_net` for `my-net`."""
        return self.plugin.replace("-", "_")

    @property
    def cls(self) -> str:
        """The class: `MyNet`; followed by the kind if the bare name means something else."""
        import harness

        name = "".join(part.capitalize() for part in self.plugin.split("-"))
        taken = {*harness.__all__, *dir(builtins), "Any", "Path", "Patterns", "NDArray", "SimpleNamespace"}
        return name + self.kind.capitalize() if name in taken else name

    @property
    def function(self) -> str:
        """The function of a kind that is one: `my_metric`; followed by the kind if that means something else."""
        taken = self.module in dir(builtins) or self.module in ("np", "pd", "harness")
        return f"{self.module}_{self.kind}" if taken else self.module

    @property
    def group(self) -> str:
        """The entry-point group, without `harness.`."""
        return GROUPS[self.kind]

    @property
    def target(self) -> str:
        """What the entry point names; for a suite or published results, the package that holds their file."""
        if self.kind in ("suite", "published"):
            return self.module
        return f"{self.module}:{self.function if self.kind in FUNCTIONS else self.cls}"


def make_names(kind: str, name: str) -> PackageNames:
    """Return the names of a plugin. Raises HarnessError for an unknown kind, OptionError for an unusable name."""
    if kind not in GROUPS:
        raise HarnessError(f"harness new: no kind '{kind}'{did_you_mean(kind, GROUPS)}")
    if not PATTERN.fullmatch(name):
        raise OptionError(
            f"harness new: a name is lower-case letters, digits and single hyphens, beginning with a letter, "
            f"such as '{_find_nearest(name)}'; found '{name}'"
        )
    if len(name) > LONGEST:
        raise OptionError(f"harness new: a name has at most {LONGEST} letters; found {len(name)}")
    names = PackageNames(kind, name)
    module = names.module
    reserved = keyword.iskeyword(module) or keyword.issoftkeyword(module) or module in TAKEN
    if reserved or module in sys.stdlib_module_names:
        raise OptionError(
            f"harness new: '{module}' is Python's own name: choose another, such as 'my-{name}'"
        )
    claimed = [p for p in registry.installed(names.group) if p.name == name]
    if claimed:
        raise OptionError(
            f"harness new: the {registry.singular(names.group)} name '{name}' is taken by "
            f"{claimed[0].distribution}: choose another, such as 'my-{name}'"
        )
    if find_spec(module) is not None:
        raise OptionError(
            f"harness new: a package '{module}' is installed already: choose another name, such as 'my-{name}'"
        )
    return names


def _find_nearest(name: str) -> str:
    """Return the nearest valid name: `my-net-2` for `MyNet 2`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    slug = re.sub(r"[^a-z0-9]+", "-", spaced.lower()).strip("-0123456789")
    return slug if PATTERN.fullmatch(slug) else "my-plugin"
