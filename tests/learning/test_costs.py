"""Costs of trainings: memory on CUDA (through a stand-in) and in bytes."""

from __future__ import annotations

import math

import pytest
import torch

from harness.learning import costs


class Cuda:
    """torch.cuda's counters: a peak that falls to what is in use when it is reset."""

    def __init__(self):
        self.used, self.reserved, self.peak, self.peak_reserved, self.calls = 100, 4000, 900, 4000, []

    def empty_cache(self):
        self.calls.append("empty")
        self.reserved = self.used

    def reset_peak_memory_stats(self, device):
        self.calls.append("reset")
        self.peak, self.peak_reserved = self.used, self.reserved

    def train(self, allocated, reserved):
        self.peak, self.peak_reserved = max(self.peak, allocated), max(self.peak_reserved, reserved)

    def max_memory_allocated(self, device):
        return self.peak

    def max_memory_reserved(self, device):
        return self.peak_reserved


def test_peak_memory_is_the_last_trainings(monkeypatch):
    """Allocated and reserved, both; trials before it, and what they left reserved, are not in it."""
    cuda, device = Cuda(), torch.device("cuda", 0)
    for name in ("empty_cache", "reset_peak_memory_stats", "max_memory_allocated", "max_memory_reserved"):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    costs.reset_peak_memory(device)
    assert cuda.calls == ["empty", "reset"]
    cuda.train(300, 512)
    assert costs.read_peak_memory(device) == {
        "training_peak_memory": 300,
        "training_peak_memory_reserved": 512,
    }
    costs.reset_peak_memory(torch.device("cpu"))
    absent = costs.read_peak_memory(torch.device("cpu"))
    assert absent.keys() == costs.read_peak_memory(device).keys()
    assert all(math.isnan(v) for v in absent.values())
    assert cuda.calls == ["empty", "reset"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_peak_memory_on_a_device():
    device = torch.device("cuda", torch.cuda.current_device())
    big = torch.empty(64 * 2**20, device=device)
    del big
    costs.reset_peak_memory(device)
    kept = torch.empty(4 * 2**20, dtype=torch.uint8, device=device)
    found = costs.read_peak_memory(device)
    assert kept.numel() <= found["training_peak_memory"] < 64 * 2**20
    assert found["training_peak_memory_reserved"] >= found["training_peak_memory"]


def test_memory_on_the_cpu_is_parameters_gradients_and_optimizer():
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    net[0].requires_grad_(False)
    everything, head = (sum(4 * p.numel() for p in m.parameters()) for m in (net, net[1]))
    assert costs.estimate_training_memory(net, 2 * head) == {
        "parameter_bytes": everything,
        "gradient_bytes": head,
        "optimizer_bytes": 2 * head,
        "training_bytes": everything + 3 * head,
    }
