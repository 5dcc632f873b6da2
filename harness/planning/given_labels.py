"""Labels that a store's plan of a suite has given, and what each stands for.

A label stands for one thing: a reference is the same thing as a label's if it is written in the same way, or has
the same identity (as the same data in another folder has).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract.cells import canonical_json
from harness.discovery.reference import Reference, read_short
from harness.records.redaction import redact


@dataclass(frozen=True)
class GivenLabel:
    """What a label stands for: texts that were written for it, and hashes of its identity."""

    written: tuple[str, ...]
    identities: tuple[str, ...] = ()

    def is_same(self, other: GivenLabel) -> bool:
        """Return whether both stand for the same thing."""
        return bool({*self.written} & {*other.written} or {*self.identities} & {*other.identities})

    def is_written(self, reference: Reference) -> bool:
        """Return whether a reference is written in the same way."""
        return redact(reference.text) in self.written

    def is_identified(self, identity: str) -> bool:
        """Return whether a part's identity is its own."""
        return hash_identity(identity) in self.identities


def drop_versions(identity: Any) -> Any:
    """Return a part's identity without the versions of it and of the plugins in its options."""
    if isinstance(identity, list):
        return [drop_versions(v) for v in identity]
    if not isinstance(identity, Mapping):
        return identity
    left_out = ("distribution", "version", "code") if "plugin" in identity else ()
    return {k: drop_versions(v) for k, v in identity.items() if k not in left_out}


def hash_identity(identity: str) -> str:
    """Return a short hash of a part's identity, which an upgrade of its plugin does not change."""
    text = canonical_json(drop_versions(json.loads(identity)))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def read_given_labels(plan: Mapping[str, Any] | None) -> dict[str, dict[str, GivenLabel]]:
    """Return what the labels of a store's plan stand for, by coordinate (`model`, `dataset`) and label.

    Plans of an older harness, which kept nothing of what was written, have none.
    """
    given: dict[str, dict[str, GivenLabel]] = {}
    for name, written in ((plan or {}).get("references") or {}).items():
        identities = ((plan or {}).get("identities") or {}).get(name) or {}
        labels = {
            label: None for cell in (plan or {})["cells"] if isinstance(label := cell["at"].get(name), str)
        }
        given[name] = {
            label: GivenLabel(
                _drop_values(written.get(label) or (label,)), tuple(identities.get(label) or ())
            )
            for label in labels
            if label
        }
    return given


def _drop_values(texts: Sequence[str]) -> tuple[str, ...]:
    """Return references as written in full, without those texts that are the value of another alone."""
    values = {short.value for text in texts if (short := read_short(text))}
    return tuple(text for text in texts if text not in values)
