"""What a plugin can do, in words, for people who choose one: from its class alone."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from harness import options
from harness.contract import capabilities
from harness.hooks import Events


def of_plugin(kind: str, factory: Any) -> list[str]:
    """The facts of a plugin's class that decide where it can be used."""
    if kind == "models":
        return capabilities(_made(factory))
    if kind == "datasets":
        return _of_dataset(_made(factory))
    if kind == "metrics":
        return _of_metric(_made(factory))
    if kind == "protocols":
        return _of_protocol(factory)
    if kind == "hooks":
        return _of_listener(factory)
    return []


def _made(factory: Any) -> Any:
    """What a factory function says it makes, or the class itself."""
    if isinstance(factory, type):
        return factory
    if not callable(factory):
        return factory
    module = sys.modules.get(getattr(factory, "__module__", None) or "")
    returns = options.evaluated(inspect.signature(factory).return_annotation, vars(module) if module else {})
    return returns if isinstance(returns, type) and returns is not inspect.Signature.empty else factory


def _of_dataset(cls: Any) -> list[str]:
    splits, space = getattr(cls, "splits", None), getattr(cls, "label_space", None)
    known = [f"splits {', '.join(splits)}"] if isinstance(splits, list | tuple) else []
    return known + ([f"label space {space}"] if isinstance(space, str) else [])


def _of_metric(cls: Any) -> list[str]:
    call = inspect.signature(cls.__call__) if isinstance(cls, type) else inspect.signature(cls)
    read = [p.annotation for p in call.parameters.values() if p.name != "self"][:1]
    facts = []
    if read and read[0] is not inspect.Parameter.empty:
        facts.append(f"reads {getattr(read[0], '__name__', str(read[0]).rpartition('.')[2])}")
    better = getattr(cls, "higher_is_better", None)
    if isinstance(better, bool):
        facts.append("higher is better" if better else "lower is better")
    bounds = getattr(cls, "bounds", None)
    if isinstance(bounds, tuple) and len(bounds) == 2 and all(isinstance(b, int | float) for b in bounds):
        facts.append(f"from {bounds[0]:g} to {bounds[1]:g}")
    return facts + (["a value per sample"] if hasattr(cls, "per_sample") else [])


def _of_protocol(cls: Any) -> list[str]:
    facts = [f"axes {', '.join(cls.axes)}"] if getattr(cls, "axes", None) else []
    if getattr(cls, "provides", None):
        facts.append(f"gives {', '.join(c.__name__ for c in cls.provides)}")
    if not getattr(cls, "needs_model", True):
        facts.append("needs no model")
    if getattr(cls, "needs_method", False):
        facts.append("needs a method")
    return facts + (["runs several seeds at once"] if hasattr(cls, "run_many") else [])


def _of_listener(factory: Any) -> list[str]:
    events = [name for name in vars(Events) if not name.startswith("_")]
    heard = [e for e in events if hasattr(getattr(factory, e, None), "harness_impl")]
    return [f"hears {', '.join(heard)}"] if heard else []
