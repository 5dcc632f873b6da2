"""Ranking by distance in hyperbolic space, for models such as MERU that embed there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import OptionError
from harness_retrieval.contracts import RetrievalTask, Similarity

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class LorentzDistance:
    """Rank by the distance on the hyperboloid, the smallest first (MERU: Desai et al., ICML 2023).

    Embeddings are vectors tangent to the origin, as its encoders give them: of a model that compares by inner
    products, so that they keep their lengths. All candidates of one length rank as by the cosine, which is remarked.

    Args:
        curvature: c > 0, where −c is the curvature; MERU learns it, from 1.
        scale: factor on all embeddings; MERU learns it, from 1/√D, and its encoders may have applied it.
    """

    needs_bank = False

    def __init__(self, curvature: float = 1.0, scale: float = 1.0) -> None:
        for name, value in (("curvature", curvature), ("scale", scale)):
            if not 0 < value < float("inf"):
                raise OptionError(f"lorentz-distance: {name} must be positive, found {value}")
        self.curvature, self.scale = curvature, scale

    def fit(self, task: RetrievalTask) -> Similarity:
        """Return a similarity whose inner products decrease with the distance: float64, D + 1 numbers a vector."""
        import torch

        from harness_retrieval.lorentz import compute_time

        queries, gallery = self._place(task.queries), self._place(task.gallery)
        lengths = task.gallery.double().norm(dim=1)
        remarks: tuple[str, ...] = ()
        if float(lengths.max() - lengths.min()) <= 1e-5 * float(lengths.max()):
            remarks = ("all candidates have the same length, so that distances rank as the cosine does",)
        times = compute_time(queries, self.curvature), compute_time(gallery, self.curvature)
        return Similarity(
            torch.cat([queries, times[0][:, None]], dim=1),
            torch.cat([gallery, -times[1][:, None]], dim=1),
            remarks=remarks,
        )

    def inside_cone(self, images: torch.Tensor, texts: torch.Tensor) -> NDArray[np.bool_]:
        """Return whether each image N×D lies in the entailment cone of its text N×D, N."""
        from harness_retrieval.lorentz import find_inside_cones

        found: NDArray[np.bool_] = (
            find_inside_cones(self._place(texts), self._place(images), self.curvature).cpu().numpy()
        )
        return found

    def _place(self, embeddings: torch.Tensor) -> torch.Tensor:
        from harness_retrieval.lorentz import exp_map

        return exp_map(self.scale * embeddings.double(), self.curvature)
