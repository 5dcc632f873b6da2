"""Where in a checkpoint a network's weights are, by a rule that is remarked.

Trainers put weights into containers (`state_dict`, `model`, `ema`) beside optimisers and settings, and
wrappers put prefixes before their names (`module.`, `model.`). Both are treated as a place, `ema.module`,
with the network's own names below it. A place fits if it has all of them, in their shapes. Of several that
fit and differ, averaged weights are taken; otherwise the user has to choose.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import OptionError, did_you_mean

if TYPE_CHECKING:
    import torch

KEY = "weights_key"
"""The models' option by which a user chooses."""

# Segments that torch.compile, FSDP, activation checkpointing and DeepSpeed put anywhere into names.
_WRAPPERS = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"))
_PARALLEL = "module"
# Counters that averaging and profilers leave among the weights.
_COUNTERS = frozenset(("n_averaged", "total_ops", "total_params"))
_AVERAGED = frozenset(("ema", "swa", "shadow", "averaged", "average", "avg", "polyak"))
_CURRENT = frozenset(("online", "current", "raw"))  # names of weights beside averages
_NO_WEIGHTS = re.compile(r"optim|sched|scaler|lookahead|rng|loops|queue", re.IGNORECASE)
_DEPTH = 12


class Weights(dict[str, Any]):
    """Tensors by name, and in `remarks` their place in the file and what was left out."""

    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckpointTensor:
    """A tensor of a checkpoint: its containers, `state_dict.`, and its name there."""

    container: str
    name: str
    tensor: torch.Tensor

    @property
    def full(self) -> str:
        """Containers and name together."""
        return self.container + self.name


@dataclass(frozen=True)
class Place:
    """A prefix of full names, and the tensors of the network that are found below it."""

    prefix: str
    found: Mapping[str, torch.Tensor] = field(repr=False)
    missing: Sequence[str] = field(repr=False)
    fits: bool = False

    @property
    def shown(self) -> str:
        """The prefix as a user may write it."""
        return self.prefix.rstrip(".") or "(the file itself)"

    @property
    def averaged(self) -> bool:
        """Whether its name says that its weights are averages over a training."""
        return bool(split_words(self.prefix) & _AVERAGED) and not self.current

    @property
    def current(self) -> bool:
        """Whether its name says that averages of its weights are elsewhere."""
        return bool(split_words(self.prefix) & _CURRENT)

    def same(self, other: Place) -> bool:
        """Return whether both hold the same numbers."""
        import torch

        return self.found.keys() == other.found.keys() and all(
            v is other.found[n] or (v.dtype == other.found[n].dtype and torch.equal(v, other.found[n]))
            for n, v in self.found.items()
        )


def split_words(name: str) -> set[str]:
    """Return the lower-case words of a dotted name: `state_dict_ema.netG` yields state, dict, ema, net, g."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return {word.lower() for word in re.split(r"[._\-\s]+", parted) if word}


def list_tensors(content: Any, own_names: Collection[str] = ()) -> list[CheckpointTensor]:
    """Return all tensors of a checkpoint under bare names, without segments of wrappers.

    `module` counts as a wrapper anywhere, unless one of `own_names` has such a segment. Raises OptionError
    if two different tensors get the same name, and for tensors that are sparse or have no numbers.
    """
    import torch

    hidden, leading = set(_WRAPPERS), {*_WRAPPERS, _PARALLEL}
    if any(_PARALLEL in name.split(".") for name in own_names):
        leading.remove(_PARALLEL)
    elif own_names:
        hidden.add(_PARALLEL)
    kept: dict[str, CheckpointTensor] = {}
    for container, name, tensor in _walk(content, "", 0):
        parts = name.split(".")
        while len(parts) > 1 and parts[0] in leading:
            parts = parts[1:]
        bare = ".".join([p for p in parts[:-1] if p not in hidden] + parts[-1:])
        entry = CheckpointTensor(container, bare, tensor)
        if parts[-1] in _COUNTERS and tensor.numel() == 1:
            continue
        if not _NO_WEIGHTS.search(container):
            if entry.full in kept:
                raise OptionError(f"holds '{entry.full}' twice, with and without a wrapper's prefix")
            if tensor.is_meta or tensor.layout is not torch.strided:
                kind = "without numbers (meta)" if tensor.is_meta else "that is sparse"
                raise OptionError(f"holds a tensor {kind}: '{entry.full}'")
        kept[entry.full] = entry
    return list(kept.values())


def _walk(node: Any, container: str, depth: int) -> Iterator[tuple[str, str, torch.Tensor]]:
    import torch

    if depth > _DEPTH:
        return
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in items:
        if isinstance(value, torch.Tensor):
            yield container, str(key), value
        elif isinstance(value, Mapping | list | tuple) and value:
            yield from _walk(value, f"{container}{key}.", depth + 1)


def find_fitting(
    content: Any, module: torch.nn.Module, key: str | None, optional: Collection[str] = ()
) -> Weights | None:
    """Return the weights of `module` in a checkpoint, or None if too few of its names are there.

    `optional` names tensors that may be absent or of other shapes, such as a head's. If no place has all of
    them, the fullest is returned, so that a strict loader can say what is missing. Raises OptionError if
    several fit and differ, or none is under `key`.
    """
    expected = module.state_dict()
    needed = [n for n in expected if n not in optional and not n.endswith(".num_batches_tracked")]
    entries = list_tensors(content, expected)
    places = _find_places(entries, expected, needed)
    if key is not None:
        places = _filter_by_key(key, places, entries)
    fit = [p for p in places if p.fits]
    near = [p for p in places if 3 * len(p.missing) < len(needed)]
    most = min((len(p.missing) for p in near), default=0)
    pool = fit or [p for p in near if len(p.missing) == most]
    if not pool:
        return None
    place, others = _choose_place(pool)
    remarks = [] if key is not None else _remark_choice(place, others)
    state = _collect_below(place, entries)
    if place.fits and not place.averaged and (half := _find_partial_averages(places, module, key)):
        state.update(half.found)
        remarks = [
            f"the averaged weights under '{half.shown}' were taken, with the statistics of '{place.shown}'"
        ]
    elif (
        place.fits
        and not place.averaged
        and key is None
        and (strange := _find_strange_averages(entries, place, [*others, *fit]))
    ):
        remarks.append(f"averaged weights under '{strange}' don't fit the architecture and were not taken")
    remarks += _remark_left_out(place, [*others, *fit], entries)
    state.remarks = tuple(remarks)
    return state


def _find_places(
    entries: Sequence[CheckpointTensor], expected: Mapping[str, torch.Tensor], needed: Sequence[str]
) -> list[Place]:
    found: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for entry in entries:
        start = 0
        while start <= len(entry.full):
            if entry.full[start:] in expected:
                found[entry.full[:start]][entry.full[start:]] = entry.tensor
            start = entry.full.find(".", start) + 1 or len(entry.full) + 1
    places = []
    for prefix, tensors in found.items():
        missing = [n for n in needed if n not in tensors]
        shapes = all(tensors[n].shape == expected[n].shape for n in needed if n in tensors)
        places.append(Place(prefix, tensors, missing, fits=shapes and not missing))
    return places


def _filter_by_key(key: str, places: Sequence[Place], entries: Sequence[CheckpointTensor]) -> list[Place]:
    """Return the places that a user's key names: by their whole name, else its beginning, else a part."""
    wanted = f".{key.strip('.')}."
    for test in (str.__eq__, str.startswith, str.__contains__):
        if chosen := [p for p in places if test(f".{p.prefix}", wanted)]:
            return chosen
    known = {p.shown for p in places if p.prefix and (p.fits or len(p.found) > len(p.missing))}
    known = known or {e.container.rstrip(".") for e in entries if e.container}
    raise OptionError(f"holds no weights of this network under {KEY} '{key}'{did_you_mean(key, known)}")


def _choose_place(pool: Sequence[Place]) -> tuple[Place, list[Place]]:
    """Return the place to take, and those that hold other numbers."""
    distinct: list[Place] = []
    for place in sorted(pool, key=lambda p: (not p.averaged, len(p.prefix))):
        if not any(place.same(other) for other in distinct):
            distinct.append(place)
    first = [p for p in distinct if p.averaged] or [p for p in distinct if not p.current] or distinct
    if len(first) > 1:
        names = sorted(f"'{p.shown}'" for p in first)
        raise OptionError(
            f"holds several weights that fit and differ: {', '.join(names[:-1])} and {names[-1]}; "
            f"choose with {KEY}"
        )
    return first[0], [p for p in distinct if p is not first[0]]


def _collect_below(place: Place, entries: Sequence[CheckpointTensor]) -> Weights:
    """Return all tensors below a place, of the containers that hold weights found there."""
    used = _find_containers(place, entries)
    start = len(place.prefix)
    return Weights(
        (e.full[start:], e.tensor) for e in entries if e.container in used and e.full.startswith(place.prefix)
    )


def _find_containers(place: Place, entries: Sequence[CheckpointTensor]) -> set[str]:
    start = len(place.prefix)
    return {e.container for e in entries if e.full.startswith(place.prefix) and e.full[start:] in place.found}


def _remark_choice(place: Place, others: Sequence[Place]) -> list[str]:
    if others:
        rest, are = ", ".join(f"'{p.shown}'" for p in others), "are" if len(others) > 1 else "is"
        kind = "averaged " * place.averaged
        return [f"the {kind}weights under '{place.shown}' were taken; {rest} {are} there too ({KEY} chooses)"]
    return [f"the weights under '{place.shown}' were taken"] if place.prefix else []


def _remark_left_out(place: Place, others: Sequence[Place], entries: Sequence[CheckpointTensor]) -> list[str]:
    """Remark tensors beside a place in its containers that belong to none of the others."""
    used = _find_containers(place, entries)
    prefixes = tuple(p.prefix for p in (place, *others))
    left = [e.full for e in entries if e.container in used and not e.full.startswith(prefixes)]
    if not left:
        return []
    several = "tensors beside the weights were" if len(left) > 1 else "tensor beside the weights was"
    return [f"{len(left)} other {several} left out (first: {left[0]})"]


def _find_partial_averages(places: Sequence[Place], module: torch.nn.Module, key: str | None) -> Place | None:
    """Return averages of all parameters but not of batch norm's statistics, as many trainers store them.

    Trainers apply them by putting them into the network, which keeps its own statistics.
    """
    if key is not None:
        return None
    parameters = {name: value.shape for name, value in module.named_parameters()}
    found = [
        p
        for p in places
        if p.averaged
        and p.missing
        and all(n in p.found and p.found[n].shape == shape for n, shape in parameters.items())
    ]
    return _choose_place(found)[0] if found else None


def _find_strange_averages(
    entries: Sequence[CheckpointTensor], place: Place, known: Sequence[Place]
) -> str | None:
    """Return a container of averages that is as large as the network but fits by no name."""
    sizes: dict[str, int] = defaultdict(int)
    for entry in entries:
        sizes[entry.container] += entry.tensor.ndim > 0
    prefixes = tuple(p.prefix for p in (place, *known) if p.prefix)
    for container, size in sizes.items():
        averaged = split_words(container) & _AVERAGED and not _NO_WEIGHTS.search(container)
        if averaged and 2 * size >= len(place.found) and not container.startswith(prefixes or "\0"):
            return container.rstrip(".")
    return None


def find_largest(content: Any, key: str | None = None) -> Weights:
    """Return the weights in a checkpoint of an unknown network: its one large container of tensors.

    Raises OptionError if there is none, or several that differ.
    """
    groups: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for entry in list_tensors(content):
        if not _NO_WEIGHTS.search(entry.container) or (key and key in entry.container):
            groups[entry.container][entry.name] = entry.tensor
    places = [Place(container, tensors, ()) for container, tensors in groups.items()]
    if not places:
        raise OptionError("holds no named weights")
    if key is not None:
        places = _filter_by_key(key, places, list_tensors(content))
    most = max(len(p.found) for p in places)
    place, others = _choose_place([p for p in places if 2 * len(p.found) >= most])
    state = Weights(place.found)
    state.remarks = tuple(_remark_choice(place, others) if key is None else ())
    return state
