"""Labels that a store's plan of a suite has given, and what each stands for.

A label stands for one thing: a reference is the same thing as a label's if it is written in the same way, or has
the same identity (as the same data in another folder has).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.discovery.reference import Reference
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


def hash_identity(identity: str) -> str:
    """Return a short hash of a part's identity."""
    return hashlib.sha256(identity.encode()).hexdigest()[:20]


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
            label: GivenLabel(tuple(written.get(label) or (label,)), tuple(identities.get(label) or ()))
            for label in labels
            if label
        }
    return given
