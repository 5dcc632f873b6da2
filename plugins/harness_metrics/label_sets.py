"""The evidence for metrics of data with several labels per sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Scores N×C and targets N×C of N samples: 1 present, 0 absent, −1 not counted."""

    scores: NDArray[np.floating]
    targets: NDArray[np.integer]
    ids: Sequence[str]
    class_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.targets)

    def pack(self) -> dict[str, Any]:
        """Return arrays and lists from which `unpack` makes the same evidence."""
        import numpy as np

        arrays = {name: np.array(getattr(self, name), order="K") for name in ("scores", "targets")}
        return {**arrays, "ids": list(self.ids), "class_names": list(self.class_names)}

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> LabelSets:
        """Return the evidence that `pack` took apart."""
        return cls(**parts)


def check_label_set_metrics(metrics: Mapping[str, Any], evidence: type, data: str) -> None:
    """Raise OptionError for a metric that does not read this kind of evidence.

    Planning can't check this: only the loaded labels show which of a protocol's kinds a data set has.
    """
    import inspect

    for name, metric in metrics.items():
        parameters = list(inspect.signature(metric).parameters.values())
        annotation = parameters[0].annotation if parameters else ""
        wanted = str(getattr(annotation, "__name__", annotation)).rpartition(".")[2].strip("'\"")
        if wanted in ("Predictions", "LabelSets") and wanted != evidence.__name__:
            kind = "several labels" if evidence is LabelSets else "one label"
            raise OptionError(f"metric '{name}' reads {wanted}, but {data} has {kind} per sample")
