"""What a cell measures: memory on CUDA (through a stand-in), copies, and where gradients stop."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.contract.evidence import Predictions
from harness.errors import DataError
from harness_peft import costs, lora, measuring, selective


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
    measuring.reset_peak_memory(device)
    assert cuda.calls == ["empty", "reset"]
    cuda.train(300, 512)
    assert measuring.read_peak_memory(device) == {
        "training_peak_memory": 300,
        "training_peak_memory_reserved": 512,
    }
    measuring.reset_peak_memory(torch.device("cpu"))
    absent = measuring.read_peak_memory(torch.device("cpu"))
    assert absent.keys() == measuring.read_peak_memory(device).keys()
    assert all(math.isnan(v) for v in absent.values())
    assert cuda.calls == ["empty", "reset"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_peak_memory_on_a_device():
    device = torch.device("cuda", torch.cuda.current_device())
    big = torch.empty(64 * 2**20, device=device)
    del big
    measuring.reset_peak_memory(device)
    kept = torch.empty(4 * 2**20, dtype=torch.uint8, device=device)
    found = measuring.read_peak_memory(device)
    assert kept.numel() <= found["training_peak_memory"] < 64 * 2**20
    assert found["training_peak_memory_reserved"] >= found["training_peak_memory"]


def test_memory_on_the_cpu_is_parameters_gradients_and_optimizer(network):
    net = network()
    net.requires_grad_(False)
    net.head.requires_grad_(True)
    everything, head = (sum(4 * p.numel() for p in m.parameters()) for m in (net, net.head))
    assert costs.estimate_training_memory(net, 2 * head) == {
        "parameter_bytes": everything,
        "gradient_bytes": head,
        "optimizer_bytes": 2 * head,
        "training_bytes": everything + 3 * head,
    }


def test_a_merged_copy_leaves_the_model_it_was_made_from_alone(network, images):
    """A copy of an image-text network must not take the plugin, its tokenizer and both towers along."""
    net = network("clip")
    method = lora.LoRA(2)
    method.prepare(net)
    merged = costs.copy_merged(net, method)
    assert merged._texts[0] is net._texts[0]
    own = {id(p) for p in net.parameters()}
    assert not own & {id(p) for p in merged.parameters()}
    assert torch.allclose(merged(images), net(images), atol=1e-3)


@pytest.mark.parametrize(
    ("method", "stop"),
    [
        (selective.Full(), "backbone"),
        (selective.Partial(1), "backbone.blocks.1.norm1"),
        (selective.LinearGradient(), "head"),
        (selective.ZeroShot(), ""),
    ],
)
def test_where_back_propagation_stops(network, images, method, stop):
    """The first module whose output has a gradient to come is the one that is named."""
    net = network()
    method.prepare(net)
    found, share = costs.find_backprop_stop(net, images[:1])
    order = []
    for name, module in net.named_modules():
        if list(module.parameters(recurse=False)):
            module.register_forward_hook(
                lambda _, __, output, name=name: order.append((name, output.requires_grad))
            )
    net(images[:1])
    graph = [name for name, reached in order if reached]
    if stop:
        assert found == graph[0]
        assert found.startswith(stop)
        assert share == pytest.approx(len(graph) / len(order), abs=0.1)
    else:
        assert (found, share, graph) == ("", 0.0, [])


def test_several_labels_are_refused_where_one_is_needed():
    from harness.inference.evaluate import classification_result

    job = SimpleNamespace(cell=SimpleNamespace(dataset=SimpleNamespace(label="VOC")), metrics={})
    several = Predictions(np.zeros((2, 3)), np.zeros((2, 3), int), ["a", "b"])
    with pytest.raises(DataError, match="VOC: its samples have several labels"):
        classification_result(job, several)
