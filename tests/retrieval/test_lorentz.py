"""The hyperboloid against closed forms, and ranking by distance on it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import OptionError
from harness_retrieval.contracts import RetrievalMethod, RetrievalTask
from harness_retrieval.lorentz import (
    compute_time,
    exp_map,
    exterior_angle,
    find_inside_cones,
    half_aperture,
    lorentz_distance,
    lorentz_product,
)
from harness_retrieval.lorentz_method import LorentzDistance
from harness_retrieval.search import rank_positives, top_k


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.floats(0.1, 10), st.floats(1e-3, 4), st.integers(0, 1000))
def test_the_distance_from_the_origin_is_the_tangent_length(
    curvature: float, length: float, seed: int
) -> None:
    """Check 33; and points lie on the hyperboloid."""
    tangent = length * torch.nn.functional.normalize(drawn(5, seed=seed), dim=0)
    point = exp_map(tangent, curvature)
    assert float(lorentz_distance(torch.zeros(5).double(), point, curvature)) == pytest.approx(
        length, rel=1e-6
    )
    assert float(lorentz_product(point, point, curvature)) == pytest.approx(-1 / curvature, rel=1e-6)


def test_distances_add_up_along_a_geodesic() -> None:
    near, far = exp_map(torch.tensor([0.5, 0.0]).double()), exp_map(torch.tensor([2.0, 0.0]).double())
    behind = exp_map(torch.tensor([-1.0, 0.0]).double())
    assert float(lorentz_distance(near, far)) == pytest.approx(1.5)
    assert float(lorentz_distance(behind, far)) == pytest.approx(3.0)
    assert exp_map(torch.zeros(2)).tolist() == [0, 0]


def test_the_cone_near_the_origin_is_a_half_space() -> None:
    """Check 33: at ‖x‖ = 2K it opens by 90° to each side; further out by arcsin(2K/‖x‖)."""
    points = torch.tensor([[0.2, 0.0], [0.1, 0.0], [0.0, 0.0], [0.0, 0.4]], dtype=torch.float64)
    expected = torch.tensor([90.0, 90.0, 90.0, 30.0]).double().deg2rad()
    torch.testing.assert_close(half_aperture(points), expected)
    assert float(half_aperture(points[3], curvature=4.0)) == pytest.approx(math.asin(0.25))


def test_exterior_angles() -> None:
    """0 for a point further out on the same ray, π for one closer to the origin or behind it."""
    apex = exp_map(torch.tensor([1.0, 0.0]).double())
    others = exp_map(torch.tensor([[2.0, 0.0], [0.5, 0.0], [-1.0, 0.0]]).double())
    angles = exterior_angle(apex, others)
    torch.testing.assert_close(angles, torch.tensor([0.0, math.pi, math.pi]).double(), atol=1e-6, rtol=0)
    assert float(exterior_angle(apex, apex)) == 0
    assert float(exterior_angle(0 * apex, others[2])) == 0


@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_exterior_angles_obey_the_law_of_cosines(seed: int, curvature: float) -> None:
    """The angle at the apex of the triangle with the origin is π − the exterior angle; sides are distances."""
    apex, other = (exp_map(drawn(3, seed=seed + n), curvature) for n in (0, 5000))
    root = math.sqrt(curvature)
    origin = torch.zeros(3).double()
    to_apex, to_other, between = (
        root * float(lorentz_distance(*pair, curvature))
        for pair in ((origin, apex), (origin, other), (apex, other))
    )
    cosine = (math.cosh(to_apex) * math.cosh(between) - math.cosh(to_other)) / (
        math.sinh(to_apex) * math.sinh(between)
    )
    expected = math.pi - math.acos(max(-1.0, min(1.0, cosine)))
    assert float(exterior_angle(apex, other, curvature)) == pytest.approx(expected, abs=1e-5)


def test_images_in_the_cones_of_their_texts() -> None:
    texts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.05, 0.0], [0.0, 0.0]])
    images = torch.tensor([[2.0, 0.01], [0.0, 2.0], [1.0, 1.0], [-1.0, 0.0]])
    assert LorentzDistance().inside_cone(images, texts).tolist() == [True, False, True, True]
    points = exp_map(texts.double()), exp_map(images.double())
    assert find_inside_cones(*points, min_radius=0.5).tolist() == [True, False, True, True]
    assert not find_inside_cones(points[1], points[0]).any()  # texts are more general than their images


@pytest.mark.parametrize("curvature", [0.3, 1.0])
def test_it_ranks_by_distance(curvature: float) -> None:
    method = LorentzDistance(curvature, scale=0.7)
    assert isinstance(method, RetrievalMethod)
    queries, gallery = drawn(20, 6, seed=1).float(), drawn(50, 6, seed=2).float()
    found = method.fit(RetrievalTask(queries, gallery))
    points = [exp_map(0.7 * part.double(), curvature) for part in (queries, gallery)]
    distances = lorentz_distance(points[0][:, None], points[1][None], curvature)
    assert torch.equal(top_k(found.queries, found.gallery, 50)[1], distances.argsort(dim=1))
    levels = rank_positives(found.queries, found.gallery, [[n] for n in range(20)])
    nearer = (distances < distances.diagonal()[:, None]).sum(1)
    assert levels.before.tolist() == nearer.tolist()
    assert found.remarks == ()


def test_unit_vectors_rank_as_the_cosine_and_it_says_so() -> None:
    queries, gallery = (torch.nn.functional.normalize(drawn(n, 4, seed=n), dim=1).float() for n in (5, 30))
    found = LorentzDistance().fit(RetrievalTask(queries, gallery))
    assert "the same length" in found.remarks[0]
    assert torch.equal(top_k(found.queries, found.gallery, 30)[1], top_k(queries, gallery, 30)[1])


def test_time_components_and_wrong_options() -> None:
    assert float(compute_time(torch.tensor([3.0]), 1 / 16)) == 5
    with pytest.raises(OptionError, match="lorentz-distance: curvature must be positive, found 0"):
        LorentzDistance(0)
    with pytest.raises(OptionError, match="lorentz-distance: scale must be positive, found inf"):
        LorentzDistance(scale=math.inf)
