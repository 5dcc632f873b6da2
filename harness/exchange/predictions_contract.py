"""What an importer of predictions offers: what another program's model said about each sample.

Such an importer (`harness.exchange.contract.Importer`) states `gives_predictions = True`. The core makes a record of
each file: it matches samples and classes, computes its own metrics, and keeps samples and evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["logits", "probabilities"]


@dataclass(frozen=True, eq=False)
class ImportedPredictions:
    """What a model said about N samples, as a file holds it; the core checks it, row by row.

    `ids` N texts or numbers. `targets` and `labels` (the predicted classes) N: indices of classes, or names of
    them. `scores` N×C, `logits` or `probabilities` as `kind` says. `class_names` C, the names of the scores'
    columns, if they have any. At least `labels` or `scores` must be there.
    """

    ids: Sequence[Any] | None = None
    targets: Sequence[Any] | None = None
    labels: Sequence[Any] | None = None
    scores: NDArray[np.floating[Any]] | None = None
    kind: Kind = "logits"
    class_names: Sequence[str] | None = None
    row_word: str = "row"
    first_row: int = 1
    """How messages call the rows, and the number of the first one: lines of a CSV file begin below its header."""
    remarks: Sequence[str] = ()
    """What was assumed in reading the file."""
