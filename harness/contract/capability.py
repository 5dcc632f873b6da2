"""Capabilities of models: runtime-checkable protocols of the core and other packages, and their wording."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from harness.contract.declared import ask
from harness.errors import HarnessError

Capability = TypeVar("Capability", bound=type)

REGISTERED: dict[str, Any] = {}
"""Registered capabilities by their wording, such as "encodes texts"."""
_HINTS: dict[str, str] = {}


def register_capability(words: str, choose: str = "") -> Callable[[Capability], Capability]:
    """Register the decorated protocol as a capability under a verb and its object ("encodes texts").

    `choose` names models that have it, for the message when another model is refused.
    Raises HarnessError if another protocol has the same wording.
    """

    def register(protocol: Capability) -> Capability:
        known = REGISTERED.get(words, protocol)
        if (known.__module__, known.__qualname__) != (protocol.__module__, protocol.__qualname__):
            raise HarnessError(
                f"{protocol.__module__}.{protocol.__qualname__}: the capability '{words}' is "
                f"{known.__module__}.{known.__qualname__} already: choose other words"
            )
        REGISTERED[words] = protocol
        _HINTS[words] = f": choose one that does, such as {choose}" if choose else ""
        return protocol

    return register


def capability_wording(protocol: type) -> str:
    """Return a capability's wording: as registered, else from the protocol's name (EncodesVideo: "encodes video")."""
    known = (words for words, one in REGISTERED.items() if one is protocol)
    return next(known, " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", protocol.__name__)).lower())


def explain_missing_capability(model: object, protocol: type, needed_by: str) -> str:
    """Return why a model without a capability can't be used, with the model's own reason if `lacks` has one."""
    words, lacks = capability_wording(protocol), ask(model, "lacks")
    verb, _, rest = words.partition(" ")
    plain = "have" if verb == "has" else re.sub(r"(?<=ss|sh|ch)es$|s$", "", re.sub(r"ies$", "y", verb))
    said = f"the model does not {plain} {rest}".rstrip() if plain != verb else f"the model lacks '{words}'"
    reasons = lacks if isinstance(lacks, Mapping) else {}
    reason = next((reasons[key] for key in (words, protocol) if key in reasons), "")
    return f"{said}{f' ({reason})' if reason else ''}, which {needed_by} needs{_HINTS.get(words, '')}"


@lru_cache(maxsize=256)
def list_capability_members(protocol: type) -> frozenset[str]:
    """Return the members that a capability requires. Raises TypeError for a class that is not a protocol."""
    from typing_extensions import get_protocol_members

    return frozenset(get_protocol_members(protocol))


def has(plugin: object, protocol: type) -> bool:
    """Return whether a model class or object has a capability, without loading anything.

    A member that is an annotation only (`label_space: str`) counts; a model object may withdraw a
    capability for its options by listing it in `lacks`.
    """
    cls = plugin if isinstance(plugin, type) else type(plugin)
    lacks = () if isinstance(plugin, type) else ask(plugin, "lacks")
    if protocol in lacks or capability_wording(protocol) in lacks:
        return False
    annotated = {name for base in cls.__mro__ for name in getattr(base, "__annotations__", ())}
    return all(
        m in annotated or hasattr(cls, m) or hasattr(plugin, m) for m in list_capability_members(protocol)
    )


def capabilities(plugin: object) -> list[str]:
    """Return the wording of a model's registered capabilities, without loading anything."""
    return [words for words, protocol in REGISTERED.items() if has(plugin, protocol)]
