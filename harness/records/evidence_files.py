"""Kept evidence: what a cell's metrics were computed from, so that others are computed without running it again.

<store>/evidence/<2 digits>/<evidence id>.npz holds the evidence of one record, which its header names, or the
reason why it was not kept. Nothing in it is unpickled.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract.declared import ask
from harness.contract.evidence import Predictions
from harness.errors import OptionError, StoreError, interrupts, reason_of
from harness.records.files import replacing
from harness.records.record import Record

LIMIT_VARIABLE = "HARNESS_MAX_EVIDENCE"
LIMIT = 64
"""Megabytes of evidence that are kept for a cell; $HARNESS_MAX_EVIDENCE overrides it."""

HEADER = "header"


@dataclass(frozen=True)
class Evidence:
    """The header of an evidence file."""

    path: Path
    record: str
    """Id of the record whose metrics were computed from it."""
    started: str
    """When that record's cell began; a record of another time has other evidence."""
    classes: Mapping[str, str]
    """The class of each piece of evidence, as `module:name`."""
    missing: str | None = None
    """Why nothing was kept."""

    def read(self, known: Sequence[type]) -> dict[str, Any]:
        """Return the evidence by name, each of one of the `known` classes.

        Raises StoreError for a damaged file, and for a class that is not known (any more).
        """
        import numpy as np

        classes = {_name_class(one): one for one in (*known, Predictions)}
        found: dict[str, Any] = {}
        try:
            with np.load(self.path, allow_pickle=False) as file:
                if json.loads(bytes(file[HEADER]))["started"] != self.started:
                    raise StoreError("another run has replaced it meanwhile")
                for place, (name, written) in enumerate(self.classes.items()):
                    parts = json.loads(bytes(file[f"{place}"]))
                    arrays = [key for key in file.files if key.startswith(f"{place}.")]
                    parts |= {key.partition(".")[2]: file[key] for key in arrays}
                    found[name] = ask(classes[written], "unpack")(parts)
        except BaseException as error:  # NumPy raises almost anything, and so may a plugin's `unpack`
            if interrupts(error):
                raise
            raise StoreError(f"{self.path}: can't be read: {reason_of(error)}") from error
        return found


def write_evidence(path: Path, record: Record, evidence: Mapping[str, Any]) -> None:
    """Write the evidence of a record, or why it can't be kept. Raises OSError."""
    import numpy as np

    arrays: dict[str, Any] = {}
    missing: str | None = None
    try:
        for place, one in enumerate(evidence.values()):
            arrays |= _pack(str(place), one)
        size, most = sum(a.nbytes for a in arrays.values()) / 1e6, max_megabytes()
        if size > most:
            missing = f"its {size:.0f} MB are more than the limit of {most} MB ({LIMIT_VARIABLE} raises it)"
    except BaseException as error:  # a plugin's `pack` may raise anything, and its record must not suffer
        if interrupts(error):
            raise
        missing = reason_of(error)
    if not evidence:
        protocol = (record.cell.get("protocol") or {}).get("plugin")
        missing = f"the protocol '{protocol}' returns none"
    header = {
        "record": record.id,
        "started": str(record.provenance.get("started")),
        "classes": {} if missing else {name: _name_class(type(one)) for name, one in evidence.items()},
        "missing": missing,
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{HEADER: _encode(header), **({} if missing else arrays)})


def read_header(path: Path) -> Evidence | None:
    """Return the header of an evidence file; None if it is absent or damaged."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(bytes(file[HEADER]))
        return Evidence(path, facts["record"], facts["started"], facts["classes"], facts["missing"])
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def max_megabytes() -> int:
    """Return the size up to which evidence is kept. Raises OptionError if the environment holds no number."""
    given = os.environ.get(LIMIT_VARIABLE, "").strip()
    if given and not given.isdecimal():
        raise OptionError(f"{LIMIT_VARIABLE}={given}: expected megabytes as a whole number, such as {LIMIT}")
    return int(given) if given else LIMIT


def _pack(place: str, one: Any) -> dict[str, Any]:
    """Return what one piece of evidence consists of, as arrays: those of its own, and its lists as JSON."""
    import numpy as np

    pack = ask(one, "pack")
    _refuse_lost_fields(one)
    if pack is None or ask(type(one), "unpack") is None:
        raise TypeError(f"{type(one).__name__} has no methods `pack` and `unpack`")
    parts: dict[str, Any] = pack()
    arrays = {f"{place}.{name}": part for name, part in parts.items() if isinstance(part, np.ndarray)}
    lists = {name: part for name, part in parts.items() if not isinstance(part, np.ndarray)}
    encoded = _encode(lists)
    if json.loads(bytes(encoded)) != lists:
        raise TypeError(
            f"{type(one).__name__} has parts that are neither arrays nor lists of texts and numbers"
        )
    if any(array.dtype.hasobject for array in arrays.values()):
        raise TypeError(f"{type(one).__name__} has arrays of objects")
    return {place: encoded, **arrays}


def _encode(value: Any) -> Any:
    import numpy as np

    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _name_class(one: type) -> str:
    return f"{one.__module__}:{one.__qualname__}"


def _refuse_lost_fields(one: Any) -> None:
    """Raise OptionError for evidence of a subclass that adds fields and inherits a `pack` without them."""
    definer = next((c for c in type(one).__mro__ if "pack" in vars(c)), type(one))
    if definer is type(one):
        return
    added = sorted(k for k in vars(one) if not k.startswith("_") and k not in one.pack())
    if added:
        raise OptionError(
            f"{_name_class(type(one))} inherits `pack` of {definer.__name__}, which leaves out {', '.join(added)}: "
            "give it `pack` and `unpack` of its own"
        )
