"""Names of a new package: the plugin's, the module's, the class's, each checked before anything is written."""

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
    "suite": "suites",
    "listener": "hooks",
}
"""What can be made, and the group of its entry point."""

PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 32
TAKEN = ("harness", "test", "tests", "try")
"""Names of folders and packages that are something else."""


@dataclass(frozen=True)
class Names:
    """How a new plugin is called in each place."""

    kind: str
    plugin: str

    @property
    def module(self) -> str:
        """The import package: `my-net` is in `my_net`."""
        return self.plugin.replace("-", "_")

    @property
    def cls(self) -> str:
        """The class: `MyNet`; with the kind behind it where the bare name means something else."""
        import harness

        name = "".join(part.capitalize() for part in self.plugin.split("-"))
        taken = {*harness.__all__, *dir(builtins), "Any", "Path", "Patterns", "NDArray", "SimpleNamespace"}
        return name + self.kind.capitalize() if name in taken else name

    @property
    def group(self) -> str:
        """The entry-point group, without `harness.`."""
        return GROUPS[self.kind]

    @property
    def target(self) -> str:
        """What the entry point names; a suite's names the package that holds its file."""
        return self.module if self.kind == "suite" else f"{self.module}:{self.cls}"


def checked(kind: str, name: str) -> Names:
    """The names of a plugin of that kind; raises OptionError when it can't be called so, or HarnessError."""
    if kind not in GROUPS:
        raise HarnessError(f"harness new: no kind '{kind}'{did_you_mean(kind, GROUPS)}")
    if not PATTERN.fullmatch(name):
        raise OptionError(
            f"harness new: a name is lower-case letters, digits and single hyphens, beginning with a letter, "
            f"such as '{_nearest(name)}'; found '{name}'"
        )
    if len(name) > LONGEST:
        raise OptionError(f"harness new: a name has at most {LONGEST} letters; found {len(name)}")
    names = Names(kind, name)
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


def _nearest(name: str) -> str:
    """The nearest name that may be: `MyNet 2` as `my-net-2`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    slug = re.sub(r"[^a-z0-9]+", "-", spaced.lower()).strip("-0123456789")
    return slug if PATTERN.fullmatch(slug) else "my-plugin"
