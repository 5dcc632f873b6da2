"""Features from k-means: whitening, the encoder against its steps one by one, and what they are worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from harness import DataError
from harness_networks.layers.coates import (
    PatchEncoder,
    draw_patches,
    encode_images,
    fit_centroids,
    fit_whitening,
    normalise_patches,
    sum_quadrants,
)
from harness_networks.layers.contracts import Window
from harness_networks.layers.convolution_modules import build_padding


def test_patches_are_cut_out_of_images():
    images = torch.arange(2 * 3 * 6 * 7.0).reshape(2, 3, 6, 7)
    drawn = draw_patches(images, 200, 3, seed=0)
    every = F.unfold(images, 3).transpose(1, 2).flatten(0, 1)
    matches = (drawn[:, None] == every).all(2)
    assert torch.equal(matches.sum(1), torch.ones(200, dtype=torch.long))
    assert matches.any(0).all()  # every place can be drawn
    assert torch.equal(drawn, draw_patches(images, 200, 3, seed=0))
    assert not torch.equal(drawn, draw_patches(images, 200, 3, seed=1))
    dilated = draw_patches(images, 200, 3, seed=0, dilation=2)
    every = F.unfold(images, 3, dilation=2).transpose(1, 2).flatten(0, 1)
    assert (dilated[:, None] == every).all(2).any(1).all()
    with pytest.raises(DataError, match="patches of side 7 can't be drawn from images 2×3×6×7"):
        draw_patches(images, 1, 7, seed=0)


def test_normalised_patches_ignore_brightness():
    patches = torch.rand(50, 12, dtype=torch.float64)
    torch.testing.assert_close(normalise_patches(patches + 3, 0.1), normalise_patches(patches, 0.1))
    made = normalise_patches(patches, 0.0)
    torch.testing.assert_close(made.var(1), torch.ones(50, dtype=torch.float64))
    flat = normalise_patches(torch.full((2, 12), 0.5), 10 / 255**2)
    assert torch.equal(flat, torch.zeros(2, 12))


def test_patches_without_their_means_have_one_rank_less():
    images = torch.rand(20, 1, 8, 8, dtype=torch.float64)
    patches = normalise_patches(draw_patches(images, 500, 3, seed=0), 1e-3)
    assert torch.linalg.matrix_rank(torch.cov(patches.T)) == 8
    _, matrix = fit_whitening(patches, 1e-12)
    assert matrix.abs().max() > 1e4  # without ε the missing direction would be divided by 0


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 1.0])
def test_whitened_eigenvalues(epsilon):
    """λ becomes λ/(λ + ε)."""
    patches = torch.randn(400, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64) + 3
    before = torch.linalg.eigvalsh(torch.cov(patches.T))
    mean, matrix = fit_whitening(patches, epsilon)
    torch.testing.assert_close(matrix, matrix.T)
    white = (patches - mean) @ matrix
    torch.testing.assert_close(white.mean(0), torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(torch.linalg.eigvalsh(torch.cov(white.T)), before / (before + epsilon))


def test_centroids_are_found_and_need_enough_patches():
    centres = torch.tensor([[0.0, 0], [10, 0], [0, 10]], dtype=torch.float64)
    patches = centres.repeat_interleave(50, 0) + 0.1 * torch.randn(150, 2, dtype=torch.float64)
    found = fit_centroids(patches, 3, seed=0)
    assert torch.cdist(centres, found).min(1).values.max() < 0.2
    assert torch.equal(found, fit_centroids(patches, 3, seed=0))
    with pytest.raises(DataError, match="a patch for each of its 200 kernels, found 150"):
        fit_centroids(patches, 200, seed=0)


@pytest.mark.parametrize("assignment", ["triangle", "hard"])
@pytest.mark.parametrize(
    "window", [Window(3, 1, "valid"), Window(3, 2, "same"), Window(2, 1, "circular", 2), Window(5, 1, "same")]
)
def test_the_encoder_is_its_steps_one_by_one(window, assignment):
    images = torch.rand(30, 3, 8, 8, dtype=torch.float64)
    encoder = PatchEncoder((3, 8, 8), 7, window, assignment).double()
    encoder.fit(images, seed=0, patches=500)
    padded = build_padding(window, (8, 8))(images[:4])
    cut = F.unfold(padded, window.kernel, dilation=window.dilation, stride=window.stride)
    patches = normalise_patches(cut.transpose(1, 2).flatten(0, 1), encoder.contrast)
    distances = torch.cdist((patches - encoder.mean) @ encoder.matrix, encoder.centroids)
    if assignment == "triangle":
        expected = (distances.mean(1, keepdim=True) - distances).clamp_min(0)
    else:
        expected = F.one_hot(distances.argmin(1), 7).double()
    made = encoder(images[:4])
    assert made.shape[2:] == window.output_size((8, 8))
    torch.testing.assert_close(made.flatten(2).transpose(1, 2).flatten(0, 1), expected, rtol=1e-6, atol=1e-6)


def test_single_precision_is_enough():
    images = torch.rand(30, 3, 8, 8)
    encoder = PatchEncoder((3, 8, 8), 16, Window(3))
    encoder.fit(images, seed=0, patches=2000)
    single = encoder(images)
    torch.testing.assert_close(single.double(), encoder.double()(images.double()), rtol=1e-3, atol=1e-3)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_triangle_features_are_zero_for_about_half():
    images = torch.rand(30, 1, 8, 8)
    encoder = PatchEncoder((1, 8, 8), 32, Window(3))
    encoder.fit(images, seed=0, patches=2000)
    made = encoder(images)
    assert made.min() == 0
    assert 0.3 < float((made == 0).float().mean()) < 0.7


def test_quadrants_are_summed():
    maps = torch.arange(15.0).reshape(1, 1, 3, 5)
    assert sum_quadrants(maps).tolist() == [[0 + 1 + 2 + 5 + 6 + 7, 3 + 4 + 8 + 9, 10 + 11 + 12, 13 + 14]]
    maps = torch.randn(2, 3, 8, 6)
    torch.testing.assert_close(
        sum_quadrants(maps).reshape(2, 4, 3), 12 * F.adaptive_avg_pool2d(maps, 2).flatten(2).transpose(1, 2)
    )


def test_random_and_k_means_kernels_beat_pixels():
    """200 labelled digits: raw pixels .90; 64 random filters or k-means above .94."""
    digits = load_digits()
    images = torch.from_numpy(digits.images / 16).float()[:, None]
    order = np.random.default_rng(0).permutation(len(images))
    labelled, tested = order[:200], order[200:]

    def score(features: torch.Tensor) -> float:
        found = features.flatten(1).numpy()
        found = (found - found[labelled].mean(0)) / (found[labelled].std(0) + 1e-6)
        model = LogisticRegression(C=0.01, max_iter=500).fit(found[labelled], digits.target[labelled])
        return float(model.score(found[tested], digits.target[tested]))

    random = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU())
    encoder = PatchEncoder((1, 8, 8), 64, Window(3))
    encoder.fit(images[labelled], seed=0, patches=5000)
    raw, drawn, clustered = score(images), *(score(encode_images(m, images)) for m in (random, encoder))
    assert raw + 0.01 < min(drawn, clustered), (raw, drawn, clustered)
