"""What a plugin can do, from its class alone, in words for people who choose one."""

from __future__ import annotations

import inspect
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from harness.contract.capability import capabilities, capability_wording
from harness.contract.declared import ask
from harness.discovery import options, registry
from harness.errors import HarnessError, PluginBroken
from harness.planning.evidence_matching import find_evidence_classes
from harness.running.hooks import Events


def describe_abilities(kind: str, factory: Any) -> list[str]:
    """Return the facts of a plugin's class that decide where it can be used."""
    if kind == "models":
        _load_protocols()
        return capabilities(_find_made_class(factory))
    if kind == "datasets":
        return _of_dataset(_find_made_class(factory))
    if kind == "metrics":
        return _of_metric(_find_made_class(factory))
    if kind == "protocols":
        return _of_protocol(factory)
    if kind == "hooks":
        return _of_listener(factory)
    return []


@cache
def _load_protocols() -> None:
    """Import the installed protocols: packages declare capabilities where they ask for them."""
    for plugin in registry.installed("protocols"):
        with suppress(PluginBroken):
            registry.load(plugin)


def _find_made_class(factory: Any) -> Any:
    """Return the class that a factory function is annotated to return, or the class itself."""
    if isinstance(factory, type):
        return factory
    if not callable(factory):
        return factory
    module = sys.modules.get(getattr(factory, "__module__", None) or "")
    returns = options.evaluate_annotation(
        inspect.signature(factory).return_annotation, vars(module) if module else {}
    )
    return returns if isinstance(returns, type) and returns is not inspect.Signature.empty else factory


def _of_dataset(cls: Any) -> list[str]:
    splits, space = ask(cls, "splits"), ask(cls, "label_space")
    known = [f"splits {', '.join(splits)}"] if isinstance(splits, list | tuple) else []
    known += [f"targets: {kind}"] if (kind := ask(cls, "target_kind")) != "label" else []
    return known + ([f"label space {space}"] if isinstance(space, str) else [])


def _of_metric(cls: Any) -> list[str]:
    try:
        read = find_evidence_classes(cls)
    except HarnessError:  # planning refuses it, with the way out
        read = None
    facts = [f"reads {' or '.join(c.__name__ for c in read)}"] if read else []
    better = ask(cls, "higher_is_better")
    if isinstance(better, bool):
        facts.append("higher is better" if better else "lower is better")
    bounds = ask(cls, "bounds")
    if isinstance(bounds, tuple) and len(bounds) == 2 and all(isinstance(b, int | float) for b in bounds):
        facts.append(f"from {bounds[0]:g} to {bounds[1]:g}")
    return facts + (["a value per sample"] if ask(cls, "per_sample") is not None else [])


def _of_protocol(cls: Any) -> list[str]:
    facts = [f"axes {', '.join(cls.axes)}"] if ask(cls, "axes") else []
    if ask(cls, "provides"):
        facts.append(f"provides {', '.join(c.__name__ for c in cls.provides)}")
    if isinstance(needs := ask(cls, "needs"), tuple | list) and needs:
        facts.append(f"needs a model that {' and '.join(map(capability_wording, needs))}")
    if not ask(cls, "needs_model"):
        facts.append("needs no model")
    if ask(cls, "needs_method"):
        facts.append("needs a method")
    return facts + (["runs several seeds at once"] if ask(cls, "run_many") is not None else [])


def _of_listener(factory: Any) -> list[str]:
    events = [name for name in vars(Events) if not name.startswith("_")]
    heard = [e for e in events if hasattr(getattr(factory, e, None), "harness_impl")]
    return [f"hears {', '.join(heard)}"] if heard else []
