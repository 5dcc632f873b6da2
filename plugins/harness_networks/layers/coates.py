"""Features from k-means (Coates, Ng & Lee 2011): patches, whitening, centroids, triangle, sums of quadrants."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from harness import DataError
from harness_networks.contracts import Shape
from harness_networks.layers.contracts import Window
from harness_networks.layers.convolution_modules import build_padding
from harness_networks.layers.full_precision import without_autocast

Assignment = Literal["triangle", "hard"]


def draw_patches(images: torch.Tensor, count: int, kernel: int, seed: int, dilation: int = 1) -> torch.Tensor:
    """Draw square patches at random places of random images, with replacement.

    Args:
        images: N×C×H×W floats.
        count: how many patches to draw.
        kernel: side of a patch in samples; the pixels are `dilation` apart.
        seed: decides images and places.
        dilation: distance between the samples of a patch.

    Returns:
        Floats count×(C·kernel²) on the images' device, ordered like a convolution's kernel.
    """
    extent = dilation * (kernel - 1) + 1
    draw = torch.Generator().manual_seed(seed)
    highest = (len(images), images.shape[2] - extent + 1, images.shape[3] - extent + 1)
    if min(highest) < 1:
        found = "×".join(str(n) for n in images.shape)
        raise DataError(f"patches of side {extent} can't be drawn from images {found} (N×C×H×W)")
    rows, tops, lefts = (torch.randint(n, (count,), generator=draw) for n in highest)
    steps = torch.arange(kernel) * dilation
    down = (tops[:, None] + steps)[:, None, :, None]
    along = (lefts[:, None] + steps)[:, None, None, :]
    channels = torch.arange(images.shape[1])[None, :, None, None]
    index = (rows[:, None, None, None], channels, down, along)
    return images[tuple(part.to(images.device) for part in index)].flatten(1)


def normalise_patches(patches: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return (p − μ)/√(var + ε) of each patch N×d, with the unbiased variance.

    The authors' code has ε = 10 for pixels from 0 to 255, which is 10/255² for pixels from 0 to 1. Without
    ε, noise in flat patches would be as large as edges.
    """
    centred = patches - patches.mean(1, keepdim=True)
    return centred / (patches.var(1, keepdim=True) + epsilon).sqrt()


def fit_whitening(patches: torch.Tensor, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean d and symmetric matrix d×d that whiten patches N×d as (p − mean) @ matrix (ZCA).

    The matrix is (covariance + ε)^(−1/2), so that an eigenvalue λ of the covariance becomes λ/(λ + ε).
    Patches without their means have rank d − 1, so ε = 0 would divide by 0.
    """
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    return patches.mean(0), vectors * (values.clamp_min(0) + epsilon).rsqrt() @ vectors.T


def fit_centroids(patches: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Return `count` centroids count×d of patches N×d by k-means in small batches (scikit-learn).

    Raises DataError if there are fewer patches than centroids.
    """
    from sklearn.cluster import MiniBatchKMeans

    if len(patches) < count:
        raise DataError(f"k-means needs a patch for each of its {count} kernels, found {len(patches)}")
    clusters = MiniBatchKMeans(count, batch_size=4096, n_init=1, random_state=seed % 2**32)
    clusters.fit(patches.cpu().numpy().astype(np.float64))
    return torch.from_numpy(clusters.cluster_centers_)


class PatchEncoder(nn.Module):
    """Features of every patch of images B×C×H×W by its distances to K centroids, B×K×H'×W'.

    Patches are normalised (`normalise_patches`) and whitened as if each were cut out; the computation is
    two convolutions. With "triangle" feature k is max(0, mean of all distances − distance to k), with "hard"
    1 for the nearest centroid and 0 else. Until `fit`, the centroids are random and nothing is whitened.
    The parameters need no gradient.

    Args:
        shape: C, H, W of the images.
        count: K.
        window: kernel, stride, padding and dilation.
        assignment: "triangle" or "hard".
        contrast: ε of `normalise_patches`.
        whitening: ε of `fit_whitening`, or None to leave patches unwhitened.
    """

    def __init__(
        self,
        shape: Shape,
        count: int,
        window: Window,
        assignment: Assignment = "triangle",
        contrast: float = 10 / 255**2,
        whitening: float | None = 0.1,
    ) -> None:
        super().__init__()
        self.window, self.assignment = window, assignment
        self.contrast, self.whitening = contrast, whitening
        self.padding = build_padding(window, shape[1:])
        size = shape[0] * window.kernel**2
        self.mean = nn.Parameter(torch.zeros(size), requires_grad=False)
        self.matrix = nn.Parameter(torch.eye(size), requires_grad=False)
        self.centroids = nn.Parameter(torch.randn(count, size), requires_grad=False)

    def fit(self, images: torch.Tensor, seed: int, patches: int = 50_000) -> None:
        """Fit whitening and centroids to patches drawn from images N×C×H×W; `seed` decides everything random.

        Raises DataError if there are fewer patches than centroids.
        """
        drawn = draw_patches(images, patches, self.window.kernel, seed, self.window.dilation)
        drawn = normalise_patches(drawn.double().cpu(), self.contrast)
        if self.whitening is not None:
            mean, matrix = fit_whitening(drawn, self.whitening)
            drawn = (drawn - mean) @ matrix
            self.mean.data.copy_(mean)
            self.matrix.data.copy_(matrix)
        self.centroids.data.copy_(fit_centroids(drawn, len(self.centroids), seed))

    @without_autocast
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features B×K×H'×W'."""
        centroids = self.centroids
        codes = self._whiten(self.padding(images))
        products = F.conv2d(codes, centroids[:, :, None, None])
        squares = codes.square().sum(1, keepdim=True) + centroids.square().sum(1)[:, None, None]
        distances = (squares - 2 * products).clamp_min(0).sqrt()
        if self.assignment == "triangle":
            return torch.relu(distances.mean(1, keepdim=True) - distances)
        kinds = torch.arange(centroids.shape[0], device=images.device)[:, None, None]
        return (distances.argmin(1, keepdim=True) == kinds).to(images.dtype)

    def _whiten(self, images: torch.Tensor) -> torch.Tensor:
        """Return the normalised and whitened patches of padded images as maps B×d×H'×W'."""
        window, channels = self.window, images.shape[1]
        convolve = partial(F.conv2d, stride=window.stride, dilation=window.dilation)
        size = channels * window.kernel**2
        # a number taken off the whole image changes no normalised patch, and leaves smaller squares to cancel
        images = images - images.mean((-3, -2, -1), keepdim=True)
        ones = torch.ones_like(images[:1, :1, :1, :1]).expand(1, channels, window.kernel, window.kernel)
        means = convolve(images, ones / size)
        squares = convolve(images.square(), ones)
        variances = (squares - size * means.square()).clamp_min(0) / max(size - 1, 1)
        rows = self.matrix - self.matrix.mean(1, keepdim=True)  # takes off the mean of a patch, then whitens
        kernels = rows.unflatten(1, (channels, window.kernel, window.kernel))
        codes: torch.Tensor = convolve(images, kernels) / (variances + self.contrast).sqrt()
        return codes - (self.matrix @ self.mean)[:, None, None]

    def extra_repr(self) -> str:
        """Return the options for printing."""
        return f"{self.window}, count={len(self.centroids)}, assignment={self.assignment}"


def sum_quadrants(maps: torch.Tensor) -> torch.Tensor:
    """Return the sums over the quadrants of maps B×K×H×W as B×4K: above left, above right, below left, below right.

    Of an odd side, the middle belongs above or to the left, as in the authors' code.
    """
    down, along = (n - n // 2 for n in maps.shape[-2:])
    above, below = maps[..., :down, :], maps[..., down:, :]
    parts = [part for half in (above, below) for part in (half[..., :along], half[..., along:])]
    return torch.cat([part.sum((-2, -1)) for part in parts], -1)


def encode_images(encoder: nn.Module, images: torch.Tensor, batch_size: int = 256) -> torch.Tensor:
    """Return quadrant sums B×4K of an encoder's maps of images B×C×H×W, without gradients, batch by batch."""
    with torch.no_grad():
        return torch.cat([sum_quadrants(encoder(part)) for part in images.split(batch_size)])
