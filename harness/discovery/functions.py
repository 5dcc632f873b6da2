"""Plugins from plain functions: decorators that say what a class's attributes would say.

A decorated function stays what it was. It carries a class, which the harness uses in its place: the
function's further parameters are the options of that class, and an instance calls the function with them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from harness.discovery.decorated import FUNCTION_CLASS
from harness.discovery.registry import singular
from harness.errors import DataError, OptionError, did_you_mean
from harness.running.hooks import Events, hookimpl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])


class FunctionPlugin:
    """Base of the classes that stand for decorated functions; an instance holds the options."""

    plugin_function: ClassVar[Callable[..., Any]]
    """The function, wrapped in a staticmethod so that instances do not bind it."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the function's name: the class has none that another process could import."""
        return _rebuild, (type(self).plugin_function, self.options)


class FunctionMetric(FunctionPlugin):
    """Base of metrics from functions: empty evidence, and a number that is not finite, become a DataError."""

    def __call__(self, evidence: Any) -> float | Mapping[str, float]:
        """Return the function's number, or numbers by name."""
        self._refuse_nothing(evidence)
        answer = type(self).plugin_function(evidence, **self.options)
        for name, value in answer.items() if isinstance(answer, Mapping) else [("", answer)]:
            shown = f"{type(self).__name__}{'.' if name else ''}{name}"
            if _is_not_finite(value):
                raise DataError(f"{shown} is {value} for this evidence, not a finite number")
        return cast("float | Mapping[str, float]", answer)

    def _refuse_nothing(self, evidence: Any) -> None:
        if hasattr(evidence, "__len__") and len(evidence) == 0:
            raise DataError(f"{type(self).__name__}: there are no samples to measure")


def _is_not_finite(value: Any) -> bool:
    try:
        return not math.isfinite(value)
    except (TypeError, ValueError):  # no number at all, which whoever records it says
        return False


class FunctionMean(FunctionMetric):
    """Base of metrics whose function returns one value per sample: the metric is their mean."""

    def per_sample(self, evidence: Any) -> NDArray[np.float64]:
        """Return the function's N values. Raises DataError without samples, or for values that are no numbers."""
        import numpy as np

        self._refuse_nothing(evidence)
        values = np.asarray(type(self).plugin_function(evidence, **self.options), np.float64)
        if values.ndim != 1 or (hasattr(evidence, "__len__") and len(values) != len(evidence)):
            raise DataError(
                f"{type(self).__name__} is declared `per_sample`: expected one value for each sample, "
                f"found the shape {values.shape}"
            )
        if bad := np.flatnonzero(~np.isfinite(values)).tolist():
            first = f"{values[bad[0]]} for sample {bad[0]}"
            raise DataError(
                f"{type(self).__name__} is not finite for {len(bad)} of {len(values)} samples ({first})"
            )
        return values

    def __call__(self, evidence: Any) -> float:
        """Return the mean of the values."""
        return float(self.per_sample(evidence).mean())


class FunctionSummary(FunctionPlugin):
    """Base of summaries from functions."""

    def __call__(self, *records_and_store: Any) -> Any:
        """Return the function's table of the records (and the store, if it asks for it)."""
        return type(self).plugin_function(*records_and_store, **self.options)


def metric(
    function: Callable[..., Any] | None = None,
    /,
    *,
    higher_is_better: bool | None = None,
    title: str | None = None,
    bounds: tuple[float, float] | None = None,
    unit: str | None = None,
    per_sample: bool = False,
    proportion: bool | Sequence[str] = False,
    reads: Sequence[type] | None = None,
    examples: Sequence[tuple[Any, Any]] = (),
    harness_api: int | None = None,
) -> Callable[[Function], Function]:
    """Make a metric of a function from evidence to a number, or to numbers by name.

    With `per_sample`, the function returns one value per sample instead; the metric is their mean, and gets
    paired tests and intervals. The other arguments are a metric's attributes of the same names.
    Empty evidence and values that are not finite are refused with a DataError.
    Raises OptionError without a direction, for bounds that are none, and for a function whose parameters can't
    be an argument and options.
    """
    if function is not None or not isinstance(higher_is_better, bool):
        raise OptionError("a metric states its direction: @harness.metric(higher_is_better=True), or False")
    if bounds is not None and not (len(bounds) == 2 and bounds[0] < bounds[1]):
        raise OptionError(f"metric: bounds are (lowest, highest), found {bounds!r}")
    stated = {"title": title, "bounds": bounds, "unit": unit, "reads": reads, "harness_api": harness_api}
    facts: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    facts |= {"higher_is_better": higher_is_better, "proportion": proportion, "examples": tuple(examples)}

    def mark(function: Function) -> Function:
        base = FunctionMean if per_sample else FunctionMetric
        return _mark(function, "metrics", base, ["the evidence"], facts)

    return mark


def summary(
    function: Callable[..., Any] | None = None,
    /,
    *,
    higher_is_better: bool | None = None,
    unit: str | None = None,
    titles: Mapping[str, str] | None = None,
    harness_api: int | None = None,
) -> Callable[[Function], Function]:
    """Make a summary of a function from the frame of records to a table of numbers.

    A second parameter named `store` receives the store. The arguments are a summary's attributes of the same
    names. Raises OptionError for a function whose parameters can't be arguments and options.
    """
    if function is not None:
        raise OptionError("write @harness.summary(), with parentheses")
    facts: dict[str, Any] = {"higher_is_better": higher_is_better, "unit": unit}
    facts |= {"harness_api": harness_api} if harness_api is not None else {}
    facts |= {"titles": titles} if titles is not None else {}

    def mark(function: Function) -> Function:
        needs_store = [*inspect.signature(function).parameters][1:2] == ["store"]
        given = ["the records", *(["the store"] if needs_store else [])]
        return _mark(function, "summaries", FunctionSummary, given, {**facts, "needs_store": needs_store})

    return mark


def listener(
    event: str, *, on_request: bool = False, harness_api: int | None = None
) -> Callable[[Function], Function]:
    """Make a listener to one event of a function that takes any of the event's arguments, by their names.

    Its other parameters are options. With `on_request` it listens only to runs that name it.
    Raises OptionError for an unknown event, with the nearest.
    """
    known = [name for name in vars(Events) if not name.startswith("_")]
    if event not in known:
        raise OptionError(f"@harness.listener: no event '{event}'{did_you_mean(str(event), known)}")
    specification = getattr(Events, event)
    offered = [*inspect.signature(specification).parameters][1:]
    facts: dict[str, Any] = {"on_request": on_request}
    facts |= {"harness_api": harness_api} if harness_api is not None else {}

    def mark(function: Function) -> Function:
        parameters = _read_parameters(function)

        def hear(self: FunctionPlugin, *values: Any) -> None:
            told = zip(offered, values, strict=True)
            function(**{name: value for name, value in told if name in parameters}, **self.options)

        hear.__wrapped__ = specification  # type: ignore[attr-defined]  # tells pluggy what to pass
        options = [p for name, p in parameters.items() if name not in offered]
        return _attach(function, "hooks", FunctionPlugin, options, {**facts, event: hookimpl(hear)})

    return mark


def _mark(
    function: Function, kind: str, base: type[FunctionPlugin], given: Sequence[str], facts: Mapping[str, Any]
) -> Function:
    """Attach a class to a function whose first parameters receive what is `given`, and whose others are options."""
    parameters = list(_read_parameters(function).values())
    if parameters and parameters[0].name in ("self", "cls"):
        raise OptionError(
            f"{singular(kind)} '{function.__name__}': a method can't be one: decorate a function, or name the class"
        )
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise OptionError(
            f"{singular(kind)} '{function.__name__}': expected a plain function, neither async nor a generator"
        )
    usual = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) < len(given) or any(p.kind not in usual for p in parameters[: len(given)]):
        raise OptionError(
            f"{singular(kind)} '{function.__name__}': expected a function whose first parameter takes {given[0]}"
        )
    call = _method_signature(parameters[: len(given)])
    return _attach(function, kind, base, parameters[len(given) :], facts, call)


def _read_parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    if not inspect.isfunction(function):
        raise OptionError(
            f"expected a function to decorate, found {function!r}: a class needs no decorator, its attributes "
            "say the same"
        )
    return dict(inspect.signature(function).parameters)


def _attach(
    function: Function,
    kind: str,
    base: type[FunctionPlugin],
    options: Sequence[inspect.Parameter],
    facts: Mapping[str, Any],
    call: inspect.Signature | None = None,
) -> Function:
    """Give a function the class that stands for it, with the options and attributes that it states."""
    named = [p.replace(kind=p.KEYWORD_ONLY) if p.kind is p.POSITIONAL_OR_KEYWORD else p for p in options]
    for parameter in named:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise OptionError(
                f"{singular(kind)} '{function.__name__}': options are given by name, so '{parameter.name}' "
                "can't be positional"
            )

    def make(self: FunctionPlugin, **given: Any) -> None:
        FunctionPlugin.__init__(self, **given)

    methods: dict[str, tuple[Any, inspect.Signature]] = {"__init__": (make, _method_signature(named))}
    if call is not None:

        def answer(self: FunctionPlugin, *given: Any) -> Any:
            return base.__call__(self, *given)

        methods["__call__"] = (answer, call)
    for method, signature in methods.values():
        # annotations written as text are looked up where the wrapped function is defined
        method.__wrapped__, method.__signature__ = function, signature
    namespace = {
        **facts,
        **{name: method for name, (method, _) in methods.items()},
        "plugin_function": staticmethod(function),
        "_function_kind": kind,
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
    }
    setattr(function, FUNCTION_CLASS, type(function.__name__, (base,), namespace))
    return function


def _method_signature(parameters: Sequence[inspect.Parameter]) -> inspect.Signature:
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return inspect.Signature([own, *parameters])


def _rebuild(function: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    return getattr(function, FUNCTION_CLASS)(**options)
