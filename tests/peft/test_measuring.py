"""What a cell measures: copies, and where gradients stop."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.contract.evidence import Predictions
from harness.errors import DataError
from harness_peft import costs, lora, selective


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
