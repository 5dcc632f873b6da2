"""Which importer reads a file: the one that is named, or the one that recognises it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.contract.declared import ask
from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_short
from harness.errors import DataError, HarnessError, PluginBroken, SuiteError, interrupts
from harness.exchange.contract import Importer, suffixes


@dataclass(frozen=True)
class NamedImporter:
    """An importer with the name that it is installed by."""

    name: str
    importer: Importer

    def takes(self, file: Path) -> bool:
        """Return whether a file's name ends like those of the importer's files."""
        return file.name.lower().endswith(tuple(end.lower() for end in suffixes(self.importer)))


def open_importer(reference: str) -> NamedImporter:
    """Return an importer by its name, with options if the text has some (`table?decimal=,`).

    Raises PluginNotFound, PluginBroken or OptionError if there is no such importer.
    """
    part = Resolver().resolve("importers", parse_short(reference), "import")
    if part.problem or part.missing:
        raise PluginBroken(str(part.problem or part.missing))
    return check_importer(part.plugin, part.object)


def check_importer(name: str, importer: Importer) -> NamedImporter:
    """Return the importer with its name. Raises PluginBroken if it doesn't say how its files end."""
    if not isinstance(importer, Importer) or not suffixes(importer):
        raise PluginBroken(f"importer '{name}' states no `suffix` of its files, such as '.json'")
    return NamedImporter(name, importer)


def split_program(given: Sequence[str | Path], named: str | None) -> tuple[str | None, list[Path]]:
    """Return the importer's reference, None for any, and the files of what a user wrote.

    The importer may stand before the files: `clip_benchmark a.json`. Raises SuiteError if that name is a
    file's as well, or if no file follows.
    """
    files = [Path(each) for each in given]
    first = str(given[0]) if given else ""
    if named is not None or not _is_importer(first):
        return named, files
    if files[0].exists():
        if len(files) == 1:
            return None, files
        raise SuiteError(f"{first}: a file here, and an importer: write ./{first}, or --as {first}")
    if len(files) == 1:
        raise SuiteError(f"{first}: an importer, and no file after it: harness import FILE… --as {first}")
    return first, files[1:]


def _is_importer(text: str) -> bool:
    try:
        registry.find("importers", parse_short(text).plugin)
    except HarnessError:
        return False
    return True


def make_finder() -> Callable[[Path], NamedImporter | None]:
    """Return a function from a file to the importer that recognises it, None if none does.

    The function raises DataError in one line if several recognise it.
    """
    known: list[NamedImporter] = []
    for plugin in registry.installed("importers"):
        try:
            known.append(open_importer(f"{plugin.distribution}/{plugin.name}"))
        except HarnessError:  # a broken plugin, or one that needs options: it has to be named
            continue
    return partial(_find_importer, known)


def _find_importer(known: Sequence[NamedImporter], file: Path) -> NamedImporter | None:
    named = [each for each in known if each.takes(file)]
    for general in (False, True):
        asked = [each for each in named if bool(ask(each.importer, "general")) is general]
        found = [each for each in asked if _recognises(each, file)]
        if len(found) > 1:
            names = [each.name for each in found]
            raise DataError(
                f"{file}: {' and '.join([', '.join(names[:-1]), names[-1]])} could all read it; say whose it is: "
                f"--as {names[0]}"
            )
        if found:
            return found[0]
    return None


def _recognises(named: NamedImporter, file: Path) -> bool:
    recognise = ask(named.importer, "recognise")
    if recognise is None:
        return False
    try:
        return bool(recognise(file))
    except BaseException as error:  # what a plugin can't look at is not its file, whatever it raises
        if interrupts(error):
            raise
        return False


def unknown_file(file: Path) -> DataError:
    """Return the error for a file that no importer recognises, with those that could be meant."""
    installed = [plugin.name for plugin in registry.installed("importers")]
    return DataError(
        f"{file}: no importer recognises it; if it is from one of {', '.join(installed)}, say which: --as NAME"
    )
