"""Expansion of one experiment's grid to cells, with the state of each, before anything is loaded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from harness.contract import capability, targets
from harness.contract.cells import Cell, Part, PlannedCell, canonical_json
from harness.contract.declared import ask
from harness.contract.remarks import label_remark, normalise_remarks
from harness.discovery import registry
from harness.discovery.parts import Resolver, blame
from harness.discovery.reference import RESERVED, Reference, complete_entry, parse_references, read_short
from harness.errors import HarnessError, SuiteError, did_you_mean, interrupts
from harness.planning.evidence_matching import find_evidence_classes, match_evidence_classes, name_apart
from harness.planning.labels import SHORTENED, Labels
from harness.planning.patterns import matches
from harness.planning.suite import Entry, Experiment, Rule, Suite

PRECISIONS, IMAGES = ("float32", "bfloat16", "float16"), ("exact", "fast")


@dataclass(frozen=True)
class Choice:
    """Changes from the command line: a narrower grid, additions, and single settings."""

    models: Sequence[str] = ()
    datasets: Sequence[str] = ()
    methods: Sequence[str] = ()
    metrics: Sequence[str] = ()
    add_models: Sequence[str] = ()
    add_datasets: Sequence[str] = ()
    add_metrics: Sequence[str] = ()
    experiments: Sequence[str] = ()
    seeds: Sequence[int] | None = None
    precision: str | None = None
    images: str | None = None
    limit: int | None = None
    skip_unreadable: bool = False
    """Leave out samples that can't be read, and report their number, instead of failing."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise SuiteError(f"limit: expected at least 1, found {self.limit}")
        for name, known in (("precision", PRECISIONS), ("images", IMAGES)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise SuiteError(f"{name}: expected one of {', '.join(known)}, found '{value}'")

    @property
    def narrows(self) -> bool:
        """Whether it asks for less than the suite's own grid."""
        return any((self.models, self.datasets, self.methods, self.metrics, self.experiments, self.seeds))

    @property
    def named_plugins(self) -> set[tuple[str, str]]:
        """Kinds and names of the plugins that it may name."""
        return {
            (kind, short.plugin)
            for kind in ("models", "datasets", "methods", "metrics")
            for text in (*getattr(self, kind), *getattr(self, f"add_{kind}", ()))
            if (short := read_short(text))
        }


class Expansion:
    """The expansion of one experiment's grid."""

    def __init__(
        self, suite: Suite, grid: Experiment, choice: Choice, resolver: Resolver, labels: Labels
    ) -> None:
        self.suite, self.grid, self.choice, self.resolver = suite, grid, choice, resolver
        self.labels = labels
        self.where = f"suite {suite.name}" + (f", experiment {grid.name}" if suite.experiments else "")
        if grid.protocol is None:
            hint = did_you_mean("", [p.name for p in registry.installed("protocols")])
            raise SuiteError(f'{self.where}: needs a protocol, as in protocol = "classification"{hint}')
        self.empty = False
        self.protocol = self._resolve_one("protocols", grid.protocol, "protocol")
        self.models = self._choose("models", grid.models, choice.models, choice.add_models)
        self.datasets = self._choose("datasets", grid.datasets, choice.datasets, choice.add_datasets)
        self.methods = self._choose("methods", grid.methods, choice.methods, ())
        self.metrics = tuple(self._choose("metrics", grid.metrics, choice.metrics, choice.add_metrics))
        self._reasons: dict[tuple[int, int, int, str], str | None] = {}
        self._said: dict[tuple[int, int, int, str], tuple[str, ...]] = {}
        self.excluded = 0
        self._check_axes(grid.axes)
        self._check_exclusions()
        self._check_evidence()

    def cells(self) -> Iterator[Cell]:
        """Yield the cells; those of the same model are adjacent, so that each model is loaded once."""
        if self.empty:
            return
        needs_model = ask(self.protocol.object, "needs_model")
        models: Sequence[Part | None] = self.models or ([] if needs_model else [None])
        methods: Sequence[Part | None] = self.methods or [None]
        seeds = list(self.choice.seeds or self.grid.seeds or [0])
        points = [dict(zip(self.grid.axes, v, strict=True)) for v in product(*self.grid.axes.values())]
        for model, dataset, method, axes, seed in product(models, self.datasets, methods, points, seeds):
            cell = self._cell(model, dataset, method, axes, seed)
            if any(self._matches(rule, cell) for rule in self.grid.exclude):
                self.excluded += 1
            else:
                yield cell
        if self.choice.models or self.choice.datasets or self.choice.methods or self.choice.seeds:
            return
        kept = self.grid.kept
        if kept is not None and any(v is not None for v in (kept.models, kept.datasets, kept.methods)):
            return
        for number, extra in enumerate(self.grid.include):
            where = f"include.{number}"
            self._check_axes({k: [v] for k, v in extra.axes.items()})
            own_models = self._resolve_all("models", extra.model, where) if extra.model else models
            own_data = self._resolve_all("datasets", extra.dataset, where) if extra.dataset else self.datasets
            own_methods = self._resolve_all("methods", extra.method, where) if extra.method else methods
            own = (own_models, own_data, own_methods, extra.seeds or seeds)
            for model, dataset, method, seed in product(*own):
                for axes in [{**p, **extra.axes} for p in points]:
                    yield self._cell(model, dataset, method, axes, seed)

    def decide(self, cell: Cell, finished: set[str]) -> PlannedCell:
        """Return the cell with its state: done, broken, skipped with the reason, or to be run."""
        if cell.id in finished:
            with suppress(Exception, SystemExit):  # its record counts in any case
                cell.remarks.extend(self._remarks(cell))
            return PlannedCell(cell, "done")
        if problem := next((p.problem for p in cell.parts if p.problem), None):
            return PlannedCell(cell, "broken", problem)
        if missing := next((p.missing for p in cell.parts if p.missing), None):
            return PlannedCell(cell, "skipped", missing)
        try:
            try:
                reason = self._find_refusal(cell)
            except HarnessError as error:
                reason = str(error)
            if not reason:
                cell.remarks.extend(self._remarks(cell))
        except BaseException as error:  # a protocol that can't judge a cell breaks that cell alone
            if interrupts(error):
                raise
            return PlannedCell(cell, "broken", blame(cell.protocol, "failed at planning", error))
        return PlannedCell(cell, "skipped", reason) if reason else PlannedCell(cell)

    def _cell(
        self, model: Part | None, dataset: Part, method: Part | None, axes: dict[str, Any], seed: int
    ) -> Cell:
        return Cell(
            self.suite.name,
            self.grid.name,
            self.protocol,
            model,
            dataset,
            method,
            self.metrics,
            axes,
            seed,
            self.choice.precision or self.suite.precision,
            self.choice.images or self.suite.images,
            self.choice.limit or self.suite.limit,
        )

    def _find_refusal(self, cell: Cell) -> str | None:
        protocol = cell.protocol.object
        key = (id(cell.model), id(cell.dataset), id(cell.method), canonical_json(cell.axes))
        if key not in self._reasons:
            model, method = (p.object if p else None for p in (cell.model, cell.method))
            why = find_refusal(protocol, cell.protocol.plugin, model, cell.dataset.object, method, cell.axes)
            self._reasons[key] = label_remark(why, cell) if why else None
        return self._reasons[key]

    def _remarks(self, cell: Cell) -> Sequence[str]:
        """Return what the cell's parts and its protocol say at planning, each once."""
        key = (id(cell.model), id(cell.dataset), id(cell.method), canonical_json(cell.axes))
        if key not in self._said:
            said = [f"{p.label}: {text}" for p in cell.parts for text in p.remarks]
            if ask(cell.protocol.object, "assumes") is not None:
                model, method = (p.object if p else None for p in (cell.model, cell.method))
                more = cell.protocol.object.assumes(model, cell.dataset.object, method, cell.axes)
                said += [label_remark(text, cell) for text in normalise_remarks(more)]
            self._said[key] = tuple(dict.fromkeys(said))
        return self._said[key]

    def _resolve_one(self, kind: str, entry: Entry, key: str) -> Part:
        found = self._resolve_all(kind, entry, key)
        if len(found) > 1:
            raise SuiteError(f"{self.where}, {key}: expected one, its grid makes {len(found)}")
        return found[0]

    def _resolve_all(self, kind: str, entry: Entry, key: str) -> list[Part]:
        return self._resolve(kind, parse_references(entry, f"{self.where}, {key}"), key)

    def _resolve(
        self, kind: str, references: Sequence[Reference], key: str, typed: Sequence[Reference] = ()
    ) -> list[Part]:
        """Return the parts; paths are relative to the suite's folder, those of `typed` references to the current one."""
        return [
            self.resolver.resolve(
                kind,
                replace(r, label=self.labels.label(kind, r)) if kind in SHORTENED else r,
                f"{self.where}, {key}",
                None if any(r is t for t in typed) else self.suite.folder,
            )
            for r in references
        ]

    def _choose(
        self, kind: str, entries: Sequence[Entry], only: Sequence[str], added: Sequence[str]
    ) -> list[Part]:
        own = [r for n, e in enumerate(entries) for r in parse_references(e, f"{self.where}, {kind}.{n}")]
        if (kept := getattr(self.grid.kept, kind, None)) is not None:
            own = self._keep_of_edition(kind, own, kept)
        labels = [self.labels.label(kind, r) for r in own]
        chosen: list[Reference] = [] if only else list(own)
        for text in only:
            hits = [r for r in own if self.labels.match(kind, r, text)]
            if not hits and kind != "metrics" and self._is_named_elsewhere(kind, text):
                continue  # another experiment of the suite has it
            chosen += hits or [self._parse_added(kind, text, labels)]
        chosen += [self._parse_added(kind, text, labels) for text in added]
        if only and not chosen:
            self.empty = True
        typed = [r for r in chosen if not any(r is o for o in own)]
        self.labels.add(
            kind, typed, lambda r: self.resolver.resolve(kind, r, f"{self.where}, {kind}", None).identity
        )
        parts = self._resolve(kind, chosen, kind, typed)
        unique = list({id(p): p for p in parts}.values())
        for label, count in Counter(p.label for p in unique).items():
            if count > 1:
                raise SuiteError(
                    f"{self.where}, {kind}: {count} entries are called '{label}': give each a label of its own"
                )
        return unique

    def _keep_of_edition(self, kind: str, own: list[Reference], kept: Sequence[str]) -> list[Reference]:
        """Return the references that an edition names. Raises SuiteError for a name that matches nothing."""
        for text in kept:
            if not any(self.labels.match(kind, r, text) for r in own) and not self._is_named_elsewhere(
                kind, text
            ):
                what = f"no {registry.singular(kind)} '{text}'{did_you_mean(text, [self.labels.label(kind, r) for r in own])}"
                raise SuiteError(f"{self.where}: its edition names {what}")
        found = [r for r in own if any(self.labels.match(kind, r, text) for text in kept)]
        self.empty |= bool(own) and not found
        return found

    def _is_named_elsewhere(self, kind: str, text: str) -> bool:
        return any(
            self.labels.match(kind, reference, text)
            for grid in self.suite.grids
            for entry in getattr(grid, kind)
            for reference in parse_references(entry, f"suite {self.suite.name}, {kind}")
        )

    def _parse_added(self, kind: str, text: str, labels: Sequence[str]) -> Reference:
        where = f"--{kind.removesuffix('s')}"
        shared = getattr(self.suite.defaults, kind)
        # options alone: labels and tags are facts of the suite's own entries
        bare = {name: {k: v for k, v in t.items() if k not in RESERVED} for name, t in shared.items()}
        reference = parse_references(complete_entry(text, bare), where)[0]
        names = [p.name for p in registry.installed(kind)]
        if reference.plugin.rpartition("/")[2] not in names:
            hint = did_you_mean(text, [*labels, *names])
            raise SuiteError(f"{self.where}: no {registry.singular(kind)} '{text}'{hint}")
        return reference

    def _check_axes(self, axes: Mapping[str, Any]) -> None:
        protocol, known = self.protocol, ask(self.protocol.object, "axes")
        for axis in axes:
            if known is not None and axis not in known:
                hint = did_you_mean(axis, known) if known else "; it has none at all: leave it out"
                raise SuiteError(f"{self.where}: protocol '{protocol.plugin}' has no axis '{axis}'{hint}")
            if not axes[axis]:
                raise SuiteError(f"{self.where}: axis '{axis}': expected at least one value, found none")
            try:
                json.dumps(axes[axis], allow_nan=False)
            except (TypeError, ValueError):
                raise SuiteError(
                    f"{self.where}: axis '{axis}': expected texts, finite numbers, true or false, found {axes[axis]!r}"
                ) from None

    def _check_exclusions(self) -> None:
        """Raise SuiteError unless a rule's axes are axes of the suite, coordinates, or tags (`model.<key>`)."""
        grids = self.suite.grids
        known = {axis for g in grids for axes in (g.axes, *(e.axes for e in g.include)) for axis in axes}
        known |= {"experiment", "protocol", "model", "dataset", "method", "seed"}
        for number, rule in enumerate(self.grid.exclude):
            for name in rule.axes:
                if name not in known and "." not in name:
                    raise SuiteError(
                        f"{self.where}, exclude.{number}: no axis '{name}'{did_you_mean(name, known)}"
                    )

    def _check_evidence(self) -> None:
        provided = ask(self.protocol.object, "provides")
        if provided is None:
            return
        for part in self.metrics:
            if part.object is None:
                continue
            try:
                wanted = find_evidence_classes(part.object)
            except HarnessError as error:
                raise SuiteError(
                    f"{self.where}: metric '{part.plugin}' of {part.distribution}: {error}"
                ) from None
            if wanted is None or match_evidence_classes(provided, wanted):
                continue
            read, given = name_apart(wanted, provided)
            raise SuiteError(
                f"{self.where}: metric '{part.plugin}' reads {read}, protocol '{self.protocol.plugin}' provides "
                f"{given}: leave the metric out, or use a protocol that provides {read}"
            )

    def _matches(self, rule: Rule, cell: Cell) -> bool:
        coordinates = {**cell.coordinates, **cell.tags}
        given = {k: v for k, v in rule.model_dump(exclude={"axes"}).items() if v is not None}
        parts = {name: part for name in SHORTENED.values() if (part := getattr(cell, name))}
        return all(
            self.labels.match_part(parts[k], v) if k in parts else matches(v, coordinates.get(k))
            for k, v in {**given, **rule.axes}.items()
        )


def find_refusal(
    protocol: Any, name: str, model: Any, dataset: Any, method: Any, axes: Mapping[str, Any]
) -> str | None:
    """Return why a protocol can't run a combination: from what it and the method declare, then from `cannot`."""
    if model is None and ask(protocol, "needs_model"):
        return f"the protocol '{name}' needs a model"
    for part, called in ((protocol, f"the protocol '{name}'"), (method, "the method")):
        for need in ask(part, "needs") if model is not None else ():
            if not capability.has(model, need):
                return capability.explain_missing_capability(model, need, called)
    if reason := targets.explain_target_mismatch(dataset, protocol, name):
        return reason
    cannot = ask(protocol, "cannot")
    found: str | None = cannot(model, dataset, method, axes) if cannot else None
    return found
