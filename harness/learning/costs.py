"""Costs of a training: bytes, peak memory, and the speed of the trained network."""

from __future__ import annotations

import time

import torch
from torch import nn


def reset_peak_memory(device: torch.device) -> None:
    """Release cached blocks, then reset the peak-memory counter."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def read_peak_memory(device: torch.device) -> dict[str, float]:
    """Return the most bytes that a CUDA device had allocated and reserved since the last reset.

    NaN on other devices, so that tables have the columns (with dashes) wherever the suite runs.
    """
    cuda = device.type == "cuda"
    return {
        "training_peak_memory": torch.cuda.max_memory_allocated(device) if cuda else float("nan"),
        "training_peak_memory_reserved": torch.cuda.max_memory_reserved(device) if cuda else float("nan"),
    }


def estimate_training_memory(network: nn.Module, optimizer_bytes: int) -> dict[str, float]:
    """Return the bytes of parameters, gradients and optimiser state: a lower bound for training.

    Activations are not included; on CUDA the measured peak is recorded as well.
    """
    parameters = sum(p.numel() * p.element_size() for p in network.parameters())
    gradients = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
    return {
        "parameter_bytes": parameters,
        "gradient_bytes": gradients,
        "optimizer_bytes": optimizer_bytes,
        "training_bytes": parameters + gradients + optimizer_bytes,
    }


def measure_inference_rate(network: nn.Module, images: torch.Tensor, repeats: int = 3) -> float:
    """Return samples per second of the forward pass alone: the fastest of `repeats` after one warm-up."""
    fastest = float("inf")
    with torch.inference_mode():
        for number in range(repeats + 1):
            _synchronize(images)
            began = time.perf_counter()
            network(images)
            _synchronize(images)
            if number:
                fastest = min(fastest, time.perf_counter() - began)
    return len(images) / max(fastest, 1e-9)


def _synchronize(images: torch.Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
