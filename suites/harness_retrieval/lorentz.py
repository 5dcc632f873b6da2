"""Hyperbolic space as a hyperboloid: points, distances and entailment cones of MERU (Desai et al., ICML 2023).

A point is the vector of its space components, D; its time component is √(1/c + ‖x‖²), where −c is the curvature.
"""

from __future__ import annotations

import math

import torch

MIN_RADIUS = 0.1
"""K of entailment cones: within 2K/√c of the origin a cone is a half-space (Ganea et al. 2018)."""


def exp_map(tangents: torch.Tensor, curvature: float = 1.0) -> torch.Tensor:
    """Return the points …×D of vectors …×D that are tangent to the origin: sinh(√c‖v‖)·v / (√c‖v‖)."""
    lengths = math.sqrt(curvature) * tangents.norm(dim=-1, keepdim=True)
    return torch.where(lengths > 0, torch.sinh(lengths) / lengths, 1.0) * tangents


def compute_time(points: torch.Tensor, curvature: float = 1.0) -> torch.Tensor:
    """Return the time components … of points …×D."""
    return torch.sqrt(1 / curvature + points.square().sum(-1))


def lorentz_product(left: torch.Tensor, right: torch.Tensor, curvature: float = 1.0) -> torch.Tensor:
    """Return the Lorentzian inner products … of points …×D that broadcast; at most −1/c."""
    return (left * right).sum(-1) - compute_time(left, curvature) * compute_time(right, curvature)


def lorentz_distance(left: torch.Tensor, right: torch.Tensor, curvature: float = 1.0) -> torch.Tensor:
    """Return the lengths … of geodesics between points …×D that broadcast: arcosh(−c⟨x, y⟩) / √c."""
    return torch.acosh((-curvature * lorentz_product(left, right, curvature)).clamp(min=1.0)) / math.sqrt(
        curvature
    )


def half_aperture(
    points: torch.Tensor, curvature: float = 1.0, min_radius: float = MIN_RADIUS
) -> torch.Tensor:
    """Return half the apertures … of the entailment cones of points …×D, in radians: arcsin(2K / (√c‖x‖)), π/2 at most."""
    lengths = math.sqrt(curvature) * points.norm(dim=-1)
    return torch.asin((2 * min_radius / lengths).clamp(max=1.0))


def exterior_angle(apexes: torch.Tensor, points: torch.Tensor, curvature: float = 1.0) -> torch.Tensor:
    """Return the angles … in radians at which points …×D are seen from apexes …×D, from straight away from the origin.

    0 where a point is its apex, or the apex the origin: nothing is outside their cones.
    """
    product = curvature * lorentz_product(apexes, points, curvature)
    above = compute_time(points, curvature) + compute_time(apexes, curvature) * product
    apart = product.square() - 1  # rounding alone, where a point is its apex
    below = apexes.norm(dim=-1) * torch.sqrt(apart.clamp(min=0.0))
    defined = (apart > 1e-12 * product.square()) & (below > 0)
    cosine = torch.where(defined, above / torch.where(defined, below, 1.0), 1.0)
    return torch.acos(cosine.clamp(-1.0, 1.0))


def find_inside_cones(
    apexes: torch.Tensor, points: torch.Tensor, curvature: float = 1.0, min_radius: float = MIN_RADIUS
) -> torch.Tensor:
    """Return whether points …×D lie in the entailment cones of apexes …×D, as images do in those of their texts."""
    return exterior_angle(apexes, points, curvature) <= half_aperture(apexes, curvature, min_radius)
