"""Parts of a cell: plugins with resolved options, and the text that identifies both."""

from __future__ import annotations

import copyreg
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from harness.contract.cells import Part, canonical_json
from harness.contract.declared import ask
from harness.contract.remarks import remarks_of
from harness.discovery import options, registry, versions
from harness.discovery.code import OWN, identify_code
from harness.discovery.code_files import CodeIdentity
from harness.discovery.content import BY_TIMES, UNREADABLE, content_digests, noticing_unread
from harness.discovery.reference import Reference, parse_references
from harness.discovery.relative_paths import resolve_paths
from harness.discovery.waiting import doing
from harness.errors import (
    DataError,
    HarnessError,
    OptionError,
    PluginBroken,
    SuiteError,
    interrupts,
    reason_of,
)


class Resolver:
    """Resolves references to parts; equal references share one part, built once.

    With `skip_unreadable`, unreadable samples are left out, which is part of the identity of data sets.
    """

    def __init__(self, skip_unreadable: bool = False) -> None:
        self.skip_unreadable = skip_unreadable
        self._parts: dict[str, Part] = {}
        self._code: dict[tuple[str, str, str], CodeIdentity] = {}

    def resolve(self, kind: str, reference: Reference, where: str, folder: Path | None = None) -> Part:
        """Return the part of a reference; relative paths in its options are resolved against `folder`.

        Raises SuiteError, OptionError or PluginNotFound, starting with `where`, for mistakes of the user;
        a fault of the plugin itself is kept in the part.
        """
        try:
            key = canonical_json([kind, vars(reference), folder])
        except TypeError as error:
            raise SuiteError(f"{where}: {error}") from None
        if key not in self._parts:
            made = self._build_part(kind, reference, where, folder)
            self._parts[key] = replace(made, skip_unreadable=True) if self.skip_unreadable else made
        return self._parts[key]

    def _build_part(self, kind: str, reference: Reference, where: str, folder: Path | None) -> Part:
        plugin = _prefix_errors(where, lambda: registry.find(kind, reference.plugin))
        named = f"{where}: {registry.singular(kind)} '{plugin.name}'"
        facts = {"kind": kind, "plugin": plugin.name, "version": plugin.version}
        facts["distribution"] = plugin.distribution
        given = {**reference.options, **({"(value)": reference.value} if reference.value is not None else {})}
        as_given = {**facts, "options": given}
        try:
            factory = registry.load(plugin)
        except PluginBroken as error:
            return _assemble_part(facts, reference, given, as_given, None, problem=str(error))
        if misfit := versions.explain_misfit(plugin, factory):
            return _assemble_part(facts, reference, given, as_given, None, problem=misfit)
        checked = options.check_options(factory, reference.options, reference.value, named)
        try:
            canonical_json(checked)
        except TypeError as error:  # such as a default of the plugin's own class
            problem = blame(plugin, "has an option that no record can hold", error)
            return _assemble_part(facts, reference, given, as_given, None, problem=problem)
        said: list[str] = []
        identity, found = dict(checked), checked
        if folder is not None:
            found = {
                name: resolve_paths(value, folder, said)
                if name in reference.options or reference.value
                else value
                for name, value in checked.items()
            }
        arguments, shown, nested = self._resolve_nested(factory, found, identity, named, folder)
        moved = found != checked or shown != found
        instance = _construct(factory, arguments, named, plugin)  # a text says why that failed
        if kind == "metrics" and not callable(instance) and not isinstance(instance, str):
            instance = blame(
                plugin, "is not a metric", TypeError(f"its factory returned {instance!r}, not a function")
            )
        if isinstance(instance, str):
            as_checked = {**facts, "options": checked}
            return _assemble_part(facts, reference, shown, as_checked, None, problem=instance)
        with doing(f"asking {registry.full_name(plugin)} for its fingerprint and remarks"):
            missing, fingerprint, remarks, trouble = _ask_plugin(instance, plugin)
        whole = {**facts, "options": identity, "fingerprint": fingerprint}
        paths = {o.name: identity.get(o.name) for o in options.read_options(factory)[0] if o.is_path}
        if fingerprint:  # it identifies files by content, so their paths decide nothing
            whole["options"] = {k: v for k, v in identity.items() if k not in paths or _holds_no_path(v)}
        elif missing is None and ask(instance, "fingerprint") is None:
            whole |= _digest_files(paths)
            if plugin.distribution != OWN:
                said += _remark_folders(paths)
        if idle := set(ask(instance, "operational")):
            whole["options"] = {k: v for k, v in whole["options"].items() if k not in idle}
        code = self._code_of(plugin, factory)
        whole |= {"code": code.digest} if code.digest else {}
        passed_on = (f"{p.label}: {text}" for p in nested for text in p.remarks if text not in remarks)
        remarks = (*said, *dict.fromkeys([*remarks, *passed_on, *code.remarks]))
        if kind == "datasets" and self.skip_unreadable:
            whole["unreadable"] = "left out"
        make = partial(factory, **arguments)
        return _assemble_part(
            facts, reference, shown, whole, instance, missing, trouble, make, remarks, moved, tuple(nested)
        )

    def _resolve_nested(
        self,
        factory: Any,
        checked: Mapping[str, Any],
        identity: dict[str, Any],
        where: str,
        folder: Path | None,
    ) -> tuple[dict[str, Any], dict[str, Any], list[Part]]:
        """Return the arguments with references replaced by objects, the options as recorded, and the nested parts.

        Puts the identities of nested plugins into `identity`.
        """
        arguments, shown, nested = dict(checked), dict(checked), list[Part]()
        for option in options.read_options(factory)[0]:
            if not option.nested or checked.get(option.name) is None:
                continue
            given, place = checked[option.name], f"{where}: option '{option.name}'"
            found = [
                self.resolve(option.nested, reference, place, folder)
                for item in (given if isinstance(given, list) else [given])
                for reference in parse_references(item, place)
            ]
            if troubled := [p for p in found if p.problem]:
                raise OptionError(f"{place}: {troubled[0].problem}")
            several = isinstance(given, list)
            arguments[option.name] = [p.object for p in found] if several else found[0].object
            identities = [json.loads(p.identity) for p in found]
            identity[option.name] = identities if several else identities[0]
            if any(p.moved for p in found):
                written = [{"plugin": p.plugin, "label": p.label, "options": dict(p.options)} for p in found]
                shown[option.name] = written if several else written[0]
            nested += found
        return arguments, shown, nested

    def _code_of(self, plugin: registry.Plugin, factory: Any) -> CodeIdentity:
        key = (plugin.kind, plugin.distribution, plugin.name)
        if key not in self._code:
            self._code[key] = identify_code(plugin, factory)
        return self._code[key]


def refer_to(part: Part) -> Reference:
    """Return the reference from which another process resolves the part again, with `restore_part`."""
    name = f"{part.distribution}/{part.plugin}"
    return Reference(name, dict(part.options), label=part.label, tags=dict(part.tags))


def _reduce_part(part: Part) -> tuple[Any, ...]:
    """Pickle a part as what was written; another process resolves it again."""
    return restore_part, (part.kind, refer_to(part), part.identity, part.skip_unreadable)


copyreg.pickle(Part, _reduce_part)


def restore_part(kind: str, reference: Reference, identity: str, skip_unreadable: bool) -> Part:
    """Return the planned part, with a `problem` if it is no longer the same."""
    label, where = reference.label, f"worker, {reference.label}"
    part = _resolver(skip_unreadable).resolve(kind, reference, where)
    if part.identity != identity:  # maybe resolved for an earlier run of this process
        _resolver.cache_clear()
        part = _resolver(skip_unreadable).resolve(kind, reference, where)
    if part.identity != identity and not part.problem:
        part = replace(part, problem=f"{label}: {CHANGED}")
    return replace(part, identity=identity) if part.problem else part


CHANGED = "changed after the run was planned, so its number would be recorded for the old state: run the same command again"


def check_unchanged(part: Part) -> None:
    """Raise DataError if a part's fingerprint changed since planning."""
    planned = json.loads(part.identity).get("fingerprint")
    if not planned or ask(part.object, "fingerprint") is None:
        return
    with noticing_unread() as unread:
        now = str(part.make().fingerprint())
    if (f"{now} by times" if unread else now) != planned:
        raise DataError(f"{part.label}: {CHANGED}")


@lru_cache(maxsize=2)
def _resolver(skip_unreadable: bool) -> Resolver:
    return Resolver(skip_unreadable)


def _prefix_errors(where: str, call: Any) -> Any:
    try:
        return call()
    except HarnessError as error:
        raise type(error)(f"{where}: {error}") from None


def _construct(factory: Any, arguments: Mapping[str, Any], where: str, plugin: registry.Plugin) -> Any:
    try:
        with doing(f"constructing {registry.full_name(plugin)}"):
            return factory(**arguments)
    except HarnessError as error:
        raise type(error)(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
    except BaseException as error:  # a plugin's constructor may raise anything
        if interrupts(error):
            raise
        return blame(plugin, "can't be constructed", error)


def _ask_plugin(made: Any, plugin: registry.Plugin) -> tuple[str | None, str, tuple[str, ...], str | None]:
    """Return what an object says at planning: why it is missing, its fingerprint and remarks, and its failure."""
    try:
        missing = made.unavailable() if ask(made, "unavailable") is not None else None
        if missing:
            return missing, "", (), None
        with noticing_unread() as unread:
            fingerprint = str(made.fingerprint()) if ask(made, "fingerprint") is not None else ""
        remarks = remarks_of(made)
        if unread:
            fingerprint, remarks = f"{fingerprint} by times", (*remarks, BY_TIMES)
        return None, fingerprint, remarks, None
    except HarnessError as error:
        return str(error), "", (), None
    except BaseException as error:
        if interrupts(error):
            raise
        return None, "", (), blame(plugin, "failed at planning", error)


def _holds_no_path(value: Any) -> bool:
    """Return whether an option that may hold a path holds no path: names in a list decide results themselves."""
    several = value if isinstance(value, list | tuple) else [value]
    return bool(several) and not any(item is None or isinstance(item, Path) for item in several)


def _digest_files(paths: Mapping[str, Any]) -> dict[str, Any]:
    """Return the digests of files that options name, for a plugin without a fingerprint."""
    files = {name: path for name, path in paths.items() if isinstance(path, Path) and path.is_file()}
    found = zip(files, content_digests(files.values()), strict=True)
    held = {name: digest for name, digest in found if digest != UNREADABLE}
    return {"content": held} if held else {}


def _remark_folders(paths: Mapping[str, Any]) -> list[str]:
    """Return remarks on folders that options name, for a plugin without a fingerprint."""
    return [
        f"the folder in its option '{name}' is known by its path alone: it has no `fingerprint` that notices changes"
        for name, path in paths.items()
        if isinstance(path, Path) and path.is_dir()
    ]


def blame(plugin: registry.Plugin | Part, what: str, error: BaseException) -> str:
    """Return one line that says which plugin failed at what."""
    name = plugin.plugin if isinstance(plugin, Part) else plugin.name
    why = reason_of(error)
    return f"{registry.singular(plugin.kind)} '{name}' of {plugin.distribution} {what}: {why}"


def _assemble_part(
    facts: Mapping[str, Any],
    reference: Reference,
    given: Mapping[str, Any],
    identity: Mapping[str, Any],
    instance: Any,
    missing: str | None = None,
    problem: str | None = None,
    make: Callable[[], Any] = lambda: None,
    remarks: tuple[str, ...] = (),
    moved: bool = False,
    nested: tuple[Part, ...] = (),
) -> Part:
    shown = {key: json.loads(canonical_json(value)) for key, value in given.items()}
    own_tags = ask(instance, "tags") if instance is not None else {}
    return Part(
        **facts,
        label=reference.shown,
        tags={**own_tags, **reference.tags},
        options=shown,
        identity=canonical_json(identity),
        object=instance,
        make=make,
        missing=missing,
        problem=problem,
        remarks=remarks,
        moved=moved,
        nested=nested,
        written=(reference.text, *([reference.value] if reference.value else [])),
    )
