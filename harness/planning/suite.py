"""Suite files: validated TOML; an unknown key is refused with the nearest known one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator, model_validator

from harness.discovery import registry
from harness.discovery.reference import complete_entry
from harness.errors import PluginNotFound, SuiteError, did_you_mean
from harness.planning.editions import (
    EDITION,
    MARK,
    Edition,
    ExperimentNarrowing,
    Narrowing,
    Strict,
    split_edition,
)
from harness.planning.overrides import set_key

if TYPE_CHECKING:
    from harness.records.store import Store

Entry = str | dict[str, Any]
"""A plugin as a suite names it: `plugin:value`, or a table with `plugin = …` and its options."""


REFERENCES = ("protocol", "models", "datasets", "methods", "metrics", "model", "dataset", "method", "summary")
"""Keys whose values, or the items of whose lists, name plugins."""


def kind_of(key: str) -> str:
    """Return the kind of plugin that a key of `REFERENCES` names, in the plural."""
    return "summaries" if key == "summary" else f"{key.removesuffix('s')}s"


class Rule(Strict):
    """The cells that an exclusion removes: each given coordinate must match one of its patterns."""

    experiment: str | list[str] | None = None
    model: str | list[str] | None = None
    dataset: str | list[str] | None = None
    method: str | list[str] | None = None
    seed: int | list[int] | None = None
    axes: dict[str, Any] = Field(default_factory=dict)


class Extra(Strict):
    """A cell beside the grid; what it does not name comes from the experiment."""

    model: Entry | None = None
    dataset: Entry | None = None
    method: Entry | None = None
    seeds: list[int] | None = None
    axes: dict[str, Any] = Field(default_factory=dict)


class Grid(Strict):
    """One protocol over models × datasets × methods × axes × seeds."""

    protocol: Entry | None = None
    models: list[Entry] = Field(default_factory=list)
    datasets: list[Entry] = Field(default_factory=list)
    methods: list[Entry] = Field(default_factory=list)
    metrics: list[Entry] = Field(default_factory=list)
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    seeds: list[int] | None = None
    exclude: list[Rule] = Field(default_factory=list)
    include: list[Extra] = Field(default_factory=list)

    _kept: Narrowing | None = PrivateAttr(default=None)

    @property
    def kept(self) -> Narrowing | None:
        """What an edition keeps of this grid; None for the whole."""
        return self._kept


class Experiment(Grid):
    """A named grid; empty fields are taken from the suite's top level."""

    name: str


def check_published_rows(given: object) -> object:
    """Return a number of published rows. Raises ValueError for a negative one."""
    if isinstance(given, int) and given < 0:
        raise ValueError('expected at least 0, or "all"')
    return given


class TableSpec(Strict):
    """The layout of a leaderboard: its rows, columns and values."""

    name: str
    title: str = ""
    rows: list[str] = Field(default_factory=lambda: ["model"])
    columns: list[str] = Field(default_factory=lambda: ["dataset"])
    values: list[str] = Field(default_factory=list)
    where: dict[str, Any] = Field(default_factory=dict)
    summary: Entry | None = None
    baseline: dict[str, Any] | str | None = None
    delta: Literal["absolute", "relative"] = "absolute"
    sort: str | None = None
    group: str | None = None
    decimals: int | None = Field(default=None, ge=0, le=15)
    percent: bool = True
    transpose: bool = False
    ranking: bool = False
    intervals: Literal["none", "seeds", "samples", "both", "auto"] = "auto"
    level: float = 0.95
    caption: str = ""
    published: list[str] | None = None
    """Sets of published results beside the rows; None: the suite's."""
    published_rows: int | Literal["all"] | None = None
    """How many of their models are shown above and below each row; None: two."""

    @field_validator("published_rows")
    @classmethod
    def _check_rows(cls, given: object) -> object:
        return check_published_rows(given)


class PlotSpec(Strict):
    """A plot of the report: a plot plugin with its options."""

    name: str
    title: str = ""
    kind: str
    where: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    published: list[str] | None = None
    """Sets of published results behind the records; None: the suite's."""


class Defaults(Strict):
    """What the entries of a plugin share in a suite (options, a label, tags), by its kind and name."""

    protocols: dict[str, dict[str, Any]] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    datasets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict)
    summaries: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def complete(self, holder: BaseModel) -> None:
        """Complete every plugin entry in a part of a suite."""
        for key in REFERENCES:
            given, defaults = getattr(holder, key, None), getattr(self, kind_of(key))
            if given and defaults and isinstance(given, list):
                setattr(holder, key, [complete_entry(entry, defaults) for entry in given])
            elif given and defaults:
                setattr(holder, key, complete_entry(given, defaults))


class Suite(Grid):
    """A suite file. Relative paths in options of plugins are resolved against its folder."""

    name: str = Field(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}({MARK}{EDITION})?$")
    title: str = ""
    description: str = ""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    images: Literal["exact", "fast"] = "exact"
    limit: int | None = Field(default=None, ge=1)
    executor: str | None = None
    """Executor unless the command names another; it decides no result."""
    cell_timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds that a cell may take, unless the command names others; it is no part of a cell's identity."""
    defaults: Defaults = Field(default_factory=Defaults)
    experiments: list[Experiment] = Field(default_factory=list)
    tables: list[TableSpec] = Field(default_factory=list)
    plots: list[PlotSpec] = Field(default_factory=list)
    editions: dict[str, Edition] = Field(default_factory=dict)
    published: list[str] = Field(default_factory=list)
    """Sets of published results in all tables and plots that don't name their own."""
    published_rows: int | Literal["all"] | None = None
    """How many of their models all tables show that don't say so themselves."""

    @field_validator("published_rows")
    @classmethod
    def _check_rows(cls, given: object) -> object:
        return check_published_rows(given)

    _folder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _complete(self) -> Suite:
        for holder in holders(self):
            self.defaults.complete(holder)
        return self

    @property
    def folder(self) -> Path | None:
        """The folder of its file, against which relative paths are resolved; None without a file."""
        return self._folder

    @property
    def grids(self) -> list[Experiment]:
        """The experiments, each completed from the top level; without experiments, the top level alone."""
        shared = {name: getattr(self, name) for name in Grid.model_fields}
        if not self.experiments:
            whole = Experiment(name=split_edition(self.name)[0], **shared)
            whole._kept = self._kept
            return [whole]
        return [
            e.model_copy(update={name: v for name, v in shared.items() if not getattr(e, name)})
            for e in self.experiments
        ]

    def select_edition(self, name: str, where: str, overrides: Iterable[str] = ()) -> Suite:
        """Return the suite of one edition, called `SUITE@EDITION`; it gives way to keys that the command line sets.

        Raises SuiteError, starting with `where`.
        """
        if name not in self.editions:
            hint = did_you_mean(name, self.editions) if self.editions else "; it has none"
            raise SuiteError(f"{where}: no edition '{name}'{hint}")
        edition = self.editions[name].give_way(overrides, f"edition '{name}'")
        where = f"{where}: editions.{name}"
        chosen = {
            key: _choose_named(getattr(self, key), wanted, f"{where}.{key}")
            for key, wanted in (
                ("experiments", None if edition.experiments is None else edition.named_experiments),
                ("tables", None if edition.tables is None else list(edition.changed_tables)),
                ("plots", edition.plots),
            )
        }
        update: dict[str, Any] = {"name": f"{self.name}{MARK}{name}", "editions": {}}
        update["title"] = f"{self.title or self.name} ({name} edition)"
        update["description"] = edition.description or self.description
        found = self.model_copy(update=update | ({"limit": edition.limit} if edition.limit else {}))
        found.plots = chosen["plots"]
        found.tables = [
            change_table(t, edition.changed_tables.get(t.name, {}), f"{where}.tables, '{t.name}'")
            for t in chosen["tables"]
        ]
        found.experiments = [
            _narrow(e, edition.narrow(e.name), e.axes or self.axes) for e in chosen["experiments"]
        ]
        if not self.experiments:
            found = _narrow(found, edition, self.axes)
        _check_axes(edition, found, where)
        return found


GridLike = TypeVar("GridLike", bound=Grid)


def _narrow(grid: GridLike, kept: Narrowing | None, axes: Mapping[str, list[Any]]) -> GridLike:
    """Return a grid with a narrowing's values of the grid's `axes`, and its seeds; it also says what parts are kept."""
    found = grid.model_copy()
    found._kept = kept
    if kept is not None:
        found.axes = {name: kept.axes.get(name, values) for name, values in axes.items()}
        found.seeds = kept.seeds or grid.seeds
    return found


def _check_axes(edition: Edition, suite: Suite, where: str) -> None:
    """Raise SuiteError if an edition names an axis that none of its grids has."""
    named = [edition.axes, *(e.axes for e in edition.experiments or () if not isinstance(e, str))]
    known = {axis for grid in suite.grids for axis in grid.axes}
    for axis in (axis for axes in named for axis in axes):
        if axis not in known:
            hint = did_you_mean(axis, known) if known else ""
            raise SuiteError(f"{where}.axes: no experiment of it has an axis '{axis}'{hint}")


def _choose_named(items: list[Any], wanted: list[str] | None, where: str) -> list[Any]:
    """Return the experiments, tables or plots with these names, in the suite's order; all if None."""
    names = [item.name for item in items]
    for name in wanted or ():
        if name not in names:
            raise SuiteError(f"{where}: the suite has no '{name}'{did_you_mean(name, names)}")
    return [item for item in items if wanted is None or item.name in wanted]


def holders(suite: Suite) -> list[BaseModel]:
    """Return the parts of a suite that name plugins: itself, its experiments, their inclusions, its tables."""
    grids: list[Grid] = [suite, *suite.experiments]
    return [*grids, *(extra for grid in grids for extra in grid.include), *suite.tables]


def find_suite_file(name: str) -> Path:
    """Return the file of a suite given by its name or by a path.

    An entry point `NAME = "PACKAGE"` of the group `harness.suites` means the file NAME.toml inside PACKAGE;
    the package is located, not imported. Raises SuiteError if there is no such file.
    """
    name = _split_existing(name)[0]
    as_path = Path(name)
    if as_path.suffix == ".toml" or as_path.is_file():
        if not as_path.is_file():
            raise SuiteError(f"{name}: no such suite file")
        return as_path
    try:
        found = registry.find("suites", name)
    except PluginNotFound as error:
        raise SuiteError(f"{error} (your own suite file is named by its path, ending in .toml)") from None
    if (file := registry.locate_file(found, f"{found.name}.toml")) is not None:
        return file
    raise SuiteError(f"suite '{name}' of {found.distribution}: {found.target} has no file {found.name}.toml")


def load_suite_file(name: str | Path, overrides: Mapping[str, Any] | None = None) -> Suite:
    """Read a suite by name or path, or one edition of it (`SUITE@EDITION`).

    `overrides` maps dotted keys to values (`axes.shots`); they come after what an edition sets.
    """
    path = find_suite_file(str(name))
    edition = _split_existing(str(name))[1]
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{path}: not valid TOML: {error}") from None
    except UnicodeDecodeError:
        raise SuiteError(f"{path}: not valid TOML: the file is not UTF-8") from None
    if MARK in str(data.get("name")):
        raise SuiteError(f"{path}: name: '{MARK}' is for editions, found {data['name']!r}")
    if edition is not None:
        given = parse_suite(data, str(path)).editions
        for key, value in (given[edition].set if edition in given else {}).items():
            where = f"{path}: editions.{edition}.set:"
            set_key(data, key, value, Suite.model_fields, REFERENCES, where)
    suite = parse_suite(data, str(path), overrides)
    if edition is not None:
        suite = suite.select_edition(edition, str(path), overrides or ())
    suite._folder = path.parent.resolve()
    return suite


def _split_existing(text: str) -> tuple[str, str | None]:
    """Return the suite and the edition that a text names; a file with an `@` in its name is a suite."""
    return (text, None) if Path(text).is_file() else split_edition(text)


def load_planned(store: Store, name: str) -> Suite:
    """Return a suite as last planned in a store, or one without tables if its plan can't be read."""
    manifest = store.manifest(name)
    try:
        return parse_suite(manifest["suite"] if manifest else {"name": name}, f"{store.path}: suite {name}")
    except SuiteError as error:  # planned by another version of the harness
        from harness.records.store import warn_once

        warn_once(f"{error}; its tables and plots are left out")
        return parse_suite({"name": name})


def find_suite_name(text: str) -> str:
    """Return the name of a suite given by its name or its file, which may be gone by now."""
    file, edition = _split_existing(text)
    if not file.endswith(".toml"):
        return text
    try:
        name = str(tomllib.loads(Path(file).read_text(encoding="utf-8-sig")).get("name", Path(file).stem))
    except (OSError, ValueError):
        name = Path(file).stem
    return f"{name}{MARK}{edition}" if edition else name


def parse_suite(
    data: Mapping[str, Any], where: str = "suite", overrides: Mapping[str, Any] | None = None
) -> Suite:
    """Return a suite from the parsed content of a file; `overrides` maps dotted keys to values.

    Raises SuiteError; `where` starts every message about the content.
    """
    changed = deepcopy(dict(data)) if overrides else dict(data)
    for key, value in (overrides or {}).items():
        set_key(changed, key, value, Suite.model_fields, REFERENCES, "--set")
    try:
        return Suite.model_validate(changed)
    except ValidationError as error:
        lines = dict.fromkeys(_line(where, e) for e in error.errors(include_url=False))
        raise SuiteError("\n".join(lines)) from None


def change_table(spec: TableSpec, changes: Mapping[str, Any], where: str) -> TableSpec:
    """Return the table with these fields changed. Raises SuiteError for an invalid value."""
    try:
        return TableSpec.model_validate({**spec.model_dump(), **changes})
    except ValidationError as error:
        raise SuiteError(
            "\n".join(_line(where, e, TableSpec) for e in error.errors(include_url=False))
        ) from None


ENTRY_KINDS = ("str", "dict[str,any]")
"""Pydantic's names of the two kinds of an `Entry` in the location of an error."""


def _line(where: str, error: Any, whole: type[BaseModel] = Suite) -> str:
    *outer, innermost = error["loc"]
    if innermost in ENTRY_KINDS:  # neither of the two ways to name a plugin: one message for both
        place = ".".join(map(str, outer))
        return f"{where}: {place}: expected 'plugin:value' or a table with plugin = \"…\", found {error['input']!r}"
    location = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        known = _known_keys([p for p in parents if isinstance(p, str)], whole)
        return f"{where}: unknown key '{location}'{did_you_mean(str(key), known)}"
    if error["type"] == "list_type" and isinstance(error["input"], str | int | float):
        return f"{where}: {location}: expected a list, such as [{error['input']!r}], found {error['input']!r}"
    if error["type"] == "string_pattern_mismatch":
        return (
            f"{where}: {location}: expected letters, digits, '.', '_' and '-', beginning with a letter or a "
            f"digit, at most 100 of them, found {error['input']!r}"
        )
    if error["type"] in ("dict_type", "model_type"):
        return f"{where}: {location}: expected a table, found {error['input']!r}"
    message = error["msg"].removeprefix("Value error, ")
    found = "" if error["type"] == "missing" else f", found {error['input']!r}"
    return f"{where}: {location}: {message[0].lower()}{message[1:]}{found}"


def _known_keys(parents: list[str], whole: type[BaseModel]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "experiments": Experiment,
        "tables": TableSpec,
        "plots": PlotSpec,
        "exclude": Rule,
        "include": Extra,
        "defaults": Defaults,
        "editions": Edition,
    }
    if parents[:1] == ["editions"] and "experiments" in parents:
        return list(ExperimentNarrowing.model_fields)
    innermost = next((sections[p] for p in reversed(parents) if p in sections), whole)
    return list(innermost.model_fields)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of suite files, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Suite.model_json_schema()}
