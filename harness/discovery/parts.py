"""Parts of a cell: a plugin with its options resolved, and the text that identifies both."""

from __future__ import annotations

import copyreg
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from harness.contract.cells import Part, canonical
from harness.contract.declared import asked
from harness.contract.remarks import remarks_of
from harness.discovery import options, registry, versions
from harness.discovery.code import OWN, identify_code
from harness.discovery.code_files import CodeIdentity
from harness.discovery.content import BY_TIMES, UNREADABLE, content_digests, noticing_unread
from harness.discovery.reference import Reference, parse
from harness.discovery.relative_paths import resolve_paths
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
    """Turns references into parts; equal references give the same part, built once.

    With `skip_unreadable` samples that can't be read are left out, which belongs to the identity of data sets.
    """

    def __init__(self, skip_unreadable: bool = False) -> None:
        self.skip_unreadable = skip_unreadable
        self._parts: dict[str, Part] = {}
        self._code: dict[tuple[str, str, str], CodeIdentity] = {}

    def resolve(self, kind: str, reference: Reference, where: str, folder: Path | None = None) -> Part:
        """The part a reference stands for; relative paths in its options count from `folder`.

        Raises SuiteError, OptionError or PluginNotFound, starting with `where`, for what the user
        wrote wrong; what is wrong with the plugin itself is kept in the part.
        """
        try:
            key = canonical(
                [
                    kind,
                    reference.plugin,
                    reference.value,
                    reference.options,
                    reference.label,
                    reference.tags,
                    folder,
                ]
            )
        except TypeError as error:
            raise SuiteError(f"{where}: {error}") from None
        if key not in self._parts:
            made = self._made(kind, reference, where, folder)
            self._parts[key] = replace(made, skip_unreadable=True) if self.skip_unreadable else made
        return self._parts[key]

    def _made(self, kind: str, reference: Reference, where: str, folder: Path | None) -> Part:
        plugin = _prefixed(where, lambda: registry.find(kind, reference.plugin))
        named = f"{where}: {registry.singular(kind)} '{plugin.name}'"
        facts = {
            "kind": kind,
            "plugin": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
        }
        given = {**reference.options, **({"(value)": reference.value} if reference.value is not None else {})}
        try:
            factory = registry.load(plugin)
        except PluginBroken as error:
            return _part(facts, reference, given, {**facts, "options": given}, None, problem=str(error))
        if misfit := versions.explain_misfit(plugin, factory):
            return _part(facts, reference, given, {**facts, "options": given}, None, problem=misfit)
        checked = options.check(factory, reference.options, reference.value, named)
        try:
            canonical(checked)
        except TypeError as error:  # a default of a class of its own, say
            problem = blame(plugin, "has an option that no record can hold", error)
            return _part(facts, reference, given, {**facts, "options": given}, None, problem=problem)
        said: list[str] = []
        identity, found, moved = dict(checked), checked, False
        if folder is not None:
            found = {
                name: resolve_paths(value, folder, said)
                if name in reference.options or reference.value
                else value
                for name, value in checked.items()
            }
            moved = found != checked
        arguments, shown, nested = self._nested(factory, found, identity, named, folder)
        moved = moved or shown != found
        instance = _built(factory, arguments, named, plugin)
        if kind == "metrics" and not callable(instance) and not isinstance(instance, str):
            instance = blame(plugin, "is no metric", TypeError(f"its factory gave {instance!r}, no function"))
        if isinstance(instance, str):
            return _part(facts, reference, shown, {**facts, "options": checked}, None, problem=instance)
        missing, fingerprint, remarks, trouble = _asked(instance, plugin)
        whole = {**facts, "options": identity, "fingerprint": fingerprint}
        paths = {o.name: identity.get(o.name) for o in options.declared(factory)[0] if o.is_path}
        if fingerprint:  # what lies at a path is identified by its content, not by where it lies
            whole["options"] = {k: v for k, v in identity.items() if k not in paths or _is_said(v)}
        elif missing is None and asked(instance, "fingerprint") is None:
            whole |= _content_of(paths)
            if plugin.distribution != OWN:
                said += _folders_in(paths)
        code = self._code_of(plugin, factory)
        whole |= {"code": code.digest} if code.digest else {}
        passed_on = (f"{p.label}: {text}" for p in nested for text in p.remarks if text not in remarks)
        remarks = tuple(dict.fromkeys([*remarks, *passed_on, *code.remarks]))
        if kind == "datasets" and self.skip_unreadable:
            whole["unreadable"] = "left out"
        return _part(
            facts,
            reference,
            shown,
            whole,
            instance,
            missing,
            trouble,
            partial(factory, **arguments),
            (*said, *remarks),
            moved,
            tuple(nested),
        )

    def _nested(
        self,
        factory: Any,
        checked: Mapping[str, Any],
        identity: dict[str, Any],
        where: str,
        folder: Path | None,
    ) -> tuple[dict[str, Any], dict[str, Any], list[Part]]:
        """The arguments with references replaced by their objects, the options as records hold them, and the parts.

        Puts the identities of nested plugins into `identity`.
        """
        arguments, shown, nested = dict(checked), dict(checked), list[Part]()
        for option in options.declared(factory)[0]:
            if not option.nested or checked.get(option.name) is None:
                continue
            given, place = checked[option.name], f"{where}: option '{option.name}'"
            found = [
                self.resolve(option.nested, reference, place, folder)
                for item in (given if isinstance(given, list) else [given])
                for reference in parse(item, place)
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


def _reduced(part: Part) -> tuple[Any, ...]:
    """A part travels to another process as what was written, and is resolved again there."""
    return _restored, (
        part.kind,
        f"{part.distribution}/{part.plugin}",
        dict(part.options),
        part.label,
        dict(part.tags),
        part.identity,
        part.skip_unreadable,
    )


copyreg.pickle(Part, _reduced)


def _restored(
    kind: str,
    plugin: str,
    given: dict[str, Any],
    label: str,
    tags: dict[str, Any],
    identity: str,
    skip_unreadable: bool,
) -> Part:
    """The part that was planned; one with a `problem` when it is not the same any more."""
    reference, where = Reference(plugin, given, label=label, tags=tags), f"worker, {label}"
    part = _resolver(skip_unreadable).resolve(kind, reference, where)
    if part.identity != identity:  # of an earlier run of this process, maybe
        _resolver.cache_clear()
        part = _resolver(skip_unreadable).resolve(kind, reference, where)
    if part.identity != identity and not part.problem:
        part = replace(part, problem=f"{label}: {CHANGED}")
    return replace(part, identity=identity) if part.problem else part


CHANGED = (
    "changed after the run was planned, so its number would stand for what it was: run the same command again"
)


def check_unchanged(part: Part) -> None:
    """Raises DataError when what a part's fingerprint tells is not what it was at planning."""
    planned = json.loads(part.identity).get("fingerprint")
    if not planned or asked(part.object, "fingerprint") is None:
        return
    with noticing_unread() as unread:
        now = str(part.make().fingerprint())
    if (f"{now} by times" if unread else now) != planned:
        raise DataError(f"{part.label}: {CHANGED}")


@lru_cache(maxsize=2)
def _resolver(skip_unreadable: bool) -> Resolver:
    return Resolver(skip_unreadable)


def _prefixed(where: str, call: Any) -> Any:
    try:
        return call()
    except HarnessError as error:
        raise type(error)(f"{where}: {error}") from None


def _built(factory: Any, arguments: Mapping[str, Any], where: str, plugin: registry.Plugin) -> Any:
    try:
        return factory(**arguments)
    except HarnessError as error:
        raise type(error)(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
    except BaseException as error:  # a plugin's constructor may raise anything
        if interrupts(error):
            raise
        return blame(plugin, "can't be constructed", error)


def _asked(instance: Any, plugin: registry.Plugin) -> tuple[str | None, str, tuple[str, ...], str | None]:
    """What the object says at planning: why it is missing, its fingerprint, its remarks, and what went wrong."""
    try:
        missing = instance.unavailable() if asked(instance, "unavailable") is not None else None
        if missing:
            return missing, "", (), None
        with noticing_unread() as unread:
            fingerprint = str(instance.fingerprint()) if asked(instance, "fingerprint") is not None else ""
        remarks = remarks_of(instance)
        return (
            (None, f"{fingerprint} by times", (*remarks, BY_TIMES), None)
            if unread
            else (None, fingerprint, remarks, None)
        )
    except HarnessError as error:
        return str(error), "", (), None
    except BaseException as error:
        if interrupts(error):
            raise
        return None, "", (), blame(plugin, "failed at planning", error)


def _is_said(value: Any) -> bool:
    """Whether an option that may hold a path holds something else: names in a list decide results themselves."""
    several = value if isinstance(value, list | tuple) else [value]
    return bool(several) and not any(item is None or isinstance(item, Path) for item in several)


def _content_of(paths: Mapping[str, Any]) -> dict[str, Any]:
    """The digests of files that options name, for a plugin that has no fingerprint of its own."""
    files = {name: path for name, path in paths.items() if isinstance(path, Path) and path.is_file()}
    found = zip(files, content_digests(files.values()), strict=True)
    held = {name: digest for name, digest in found if digest != UNREADABLE}
    return {"content": held} if held else {}


def _folders_in(paths: Mapping[str, Any]) -> list[str]:
    """What is to be said of folders that options name, for a plugin that has no fingerprint of its own."""
    return [
        f"the folder in its option '{name}' is known by its path alone: it has no `fingerprint` that tells changes in it"
        for name, path in paths.items()
        if isinstance(path, Path) and path.is_dir()
    ]


def blame(plugin: registry.Plugin | Part, what: str, error: BaseException) -> str:
    """One line that says which plugin failed at what."""
    name = plugin.plugin if isinstance(plugin, Part) else plugin.name
    why = reason_of(error)
    return f"{registry.singular(plugin.kind)} '{name}' of {plugin.distribution} {what}: {why}"


def _part(
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
    shown = {key: json.loads(canonical(value)) for key, value in given.items()}
    own_tags = asked(instance, "tags") if instance is not None else {}
    return Part(
        **facts,
        label=reference.shown,
        tags={**own_tags, **reference.tags},
        options=shown,
        identity=canonical(identity),
        object=instance,
        make=make,
        missing=missing,
        problem=problem,
        remarks=remarks,
        moved=moved,
        nested=nested,
    )
