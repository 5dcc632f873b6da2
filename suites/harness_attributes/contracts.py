"""What methods of attribute-based classification get, and what they return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness import Job
from harness_attributes.attribute_table import AttributeTable

ScoreImages = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""Returns scores N×C of all classes, whose softmax gives probabilities, for image embeddings N×D."""


@dataclass
class AttributeTask:
    """Seen classes to learn from: image embeddings N×D as the model gives them, labels N, and all classes' attributes.

    `candidates` are the classes among which will be chosen. `notes` go into the record.
    """

    job: Job
    table: AttributeTable
    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    candidates: NDArray[np.int64]
    notes: dict[str, Any] = field(default_factory=dict)


class AttributeMethod(Protocol):
    """Learns from images of seen classes to score all classes."""

    def learn(self, task: AttributeTask) -> ScoreImages: ...
