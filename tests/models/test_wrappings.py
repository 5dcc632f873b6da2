"""Where weights stand in a checkpoint: the rule case by case, and random wrappings around a small network."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from harness.errors import OptionError
from harness.inference.weights import load_weights, read_weights


class Small(nn.Module):
    """A backbone with batch norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn1(self.conv1(x)).mean((2, 3))
        for layer in self.layers:
            x = layer(x).relu() + x
        out: torch.Tensor = self.fc(x)
        return out


IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(9))


def network(seed: int) -> Small:
    """One with random statistics too."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Small()
        made.bn1.running_mean.normal_()
        made.bn1.running_var.uniform_(0.5, 2)
    return made.eval()


A, B = network(1), network(2)


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def loaded(path: Path, content: Any, **options: Any) -> tuple[torch.Tensor, tuple[str, ...]]:
    """What a new network with a checkpoint's weights says of the images, and the remarks."""
    torch.save(content, path)
    fresh = Small().eval()
    state = read_weights("small", path, fresh, **options)
    load_weights("small", path, fresh, state)
    with torch.no_grad():
        return fresh(IMAGES), state.remarks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.pth"


def is_a(found: torch.Tensor) -> bool:
    with torch.no_grad():
        return torch.equal(found, A(IMAGES))


STATE, OTHER = A.state_dict(), B.state_dict()
OPTIMISER = {
    "state": {0: {"exp_avg": torch.zeros(4, 3, 3, 3), "step": torch.tensor(3.0)}},
    "param_groups": [],
}


@pytest.mark.parametrize(
    ("content", "remarks"),
    [
        (STATE, []),
        (prefixed(STATE, "module."), []),
        (prefixed(STATE, "_orig_mod.module."), []),
        (prefixed(STATE, "module._orig_mod."), []),
        (prefixed(STATE, "_fsdp_wrapped_module."), []),
        ({n.replace("layers.", "layers._orig_mod."): v for n, v in STATE.items()}, []),
        ({"n_averaged": torch.tensor(7), **prefixed(STATE, "module.")}, []),
        ({"epoch": 3, **STATE}, []),
        (
            {"model_state_dict": STATE, "optimizer_state_dict": OPTIMISER, "epoch": 3, "loss": 0.1},
            ["the weights under 'model_state_dict' were taken"],
        ),
        ({"net": STATE, "acc": 90.0}, ["the weights under 'net' were taken"]),
        ({"my own name": STATE}, ["the weights under 'my own name' were taken"]),
        (
            {"state_dict": prefixed(STATE, "model._orig_mod."), "hyper_parameters": {"lr": 0.1}},
            ["the weights under 'state_dict.model' were taken"],
        ),
        (
            {"state_dict": {**prefixed(STATE, "net."), "criterion.weight": torch.ones(3)}},
            [
                "the weights under 'state_dict.net' were taken",
                "1 other tensor beside the weights was left out (first: state_dict.criterion.weight)",
            ],
        ),
        (
            {"model": OTHER, "ema": {"module": STATE, "updates": torch.tensor([4])}},
            [
                "the averaged weights under 'ema.module' were taken; 'model' is there too (weights_key chooses)",
            ],
        ),
        (
            {"state_dict": OTHER, "state_dict_ema": STATE, "args": argparse.Namespace(lr=0.1)},
            ["the averaged weights under 'state_dict_ema' were taken; 'state_dict' is there too (weights_key chooses)"],
        ),
        (
            {"state_dict": {**prefixed(OTHER, "net."), **prefixed(STATE, "net_ema.")}},
            [
                "the averaged weights under 'state_dict.net_ema' were taken; 'state_dict.net' is there too "
                "(weights_key chooses)"
            ],
        ),
        (
            {"ema": {**prefixed(OTHER, "online_model."), **prefixed(STATE, "ema_model.")}},
            [
                "the averaged weights under 'ema.ema_model' were taken; 'ema.online_model' is there too "
                "(weights_key chooses)"
            ],
        ),
        (
            {"state_dict": STATE, "current_model_state": OTHER},  # as Lightning keeps averages
            ["the weights under 'state_dict' were taken; 'current_model_state' is there too (weights_key chooses)"],
        ),
        (
            {"model": STATE, "ema": {"shadow_params": list(OTHER.values())}},
            [
                "the weights under 'model' were taken",
                "averaged weights under 'ema.shadow_params' don't fit the architecture and were not taken",
            ],
        ),
        ({"model": STATE, "best": STATE}, ["the weights under 'best' were taken"]),  # they are the same
        ({"conv1": {"weight": STATE["conv1.weight"], "bias": STATE["conv1.bias"]}}
         | {n: v for n, v in STATE.items() if not n.startswith("conv1")}, []),
    ],
)  # fmt: skip
def test_weights_are_found_and_told(path: Path, content: Any, remarks: list[str]) -> None:
    found, told = loaded(path, content)
    assert is_a(found)
    assert list(told) == remarks


def test_averages_of_parameters_alone_get_the_networks_statistics(path: Path) -> None:
    """As trainers apply them: parameters replaced, batch norm's statistics kept."""
    shadow = {n: v for n, v in STATE.items() if "running" not in n and "num_batches" not in n}
    statistics = {n: v for n, v in STATE.items() if n not in shadow}
    found, told = loaded(path, {"model": {**OTHER, **statistics}, "shadow": shadow})
    assert is_a(found)
    assert told == ("the averaged weights under 'shadow' were taken, with the statistics of 'model'",)


@pytest.mark.parametrize("key", ["model", "model.", "x.model"])
def test_the_key_chooses_and_needs_no_remark(path: Path, key: str) -> None:
    content = {"x": {"model": STATE, "ema": OTHER}} if key == "x.model" else {"model": STATE, "ema": OTHER}
    found, told = loaded(path, content, key=key)
    assert is_a(found)
    assert not told


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ({"state_dict": STATE, "model": OTHER}, {}, "that fit and differ: 'model' and 'state_dict'; choose with weights_key"),
        (
            {"student": prefixed(STATE, "module.backbone."), "teacher": prefixed(OTHER, "backbone.")},
            {},
            "'student.backbone' and 'teacher.backbone'",
        ),
        (prefixed(STATE, "encoder_q.") | prefixed(OTHER, "encoder_k."), {}, "'encoder_k' and 'encoder_q'"),
        ({"ema_a": STATE, "ema_b": OTHER, "model": OTHER}, {}, "'ema_a' and 'ema_b'"),
        ({"model": STATE, "ema": OTHER}, {"key": "emma"}, "under weights_key 'emma'; did you mean 'ema'?"),
        ({"model": {n: v for n, v in STATE.items() if n != "fc.bias"}}, {}, r"1 missing \(first: fc.bias\)"),
        ({**STATE, "extra.weight": torch.ones(2)}, {}, r"1 unexpected \(first: extra.weight\)"),
        ({**STATE, "module.fc.bias": torch.ones(3)}, {}, "holds 'fc.bias' twice"),
        ({**STATE, "fc.bias": [1.0, 2.0, 3.0]}, {}, r"1 missing \(first: fc.bias\)"),
        ({**STATE, "fc.bias": torch.tensor([1.0, float("nan"), 0])}, {}, r"1 tensor with NaN or infinite .*first: fc.bias"),
        ({**STATE, "fc.weight": torch.ones(3, 4, dtype=torch.int8)}, {}, r"1 tensor of int8, .*first: fc.weight\): quantised"),
        ({n: torch.zeros_like(v) for n, v in STATE.items()}, {}, "nothing but zeros in 4 of 4 matrices"),
        ({**STATE, "fc.weight": STATE["fc.weight"].to_sparse()}, {}, "a tensor that is sparse: 'fc.weight'"),
        ({**STATE, "fc.weight": STATE["fc.weight"].to("meta")}, {}, r"without numbers \(meta\): 'fc.weight'"),
        ({"epoch": 3, "lr": 0.1}, {}, "holds no named weights"),
        ({"optimizer": OPTIMISER}, {}, "holds no named weights"),
        ([STATE["fc.bias"]], {}, "holds no named weights"),
        (STATE["fc.bias"], {}, "holds no named weights"),
        ({}, {}, "holds no named weights"),
    ],
)  # fmt: skip
def test_what_can_not_be_decided_is_refused_in_one_line(
    path: Path, content: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        loaded(path, content, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"small: checkpoint {path} ")


def test_optional_tensors_may_be_absent_or_of_another_size(path: Path) -> None:
    fresh = Small()
    fresh.fc = nn.Linear(4, 7)
    head = ["fc.weight", "fc.bias"]
    moco = {f"module.encoder_q.{n}": v for n, v in STATE.items() if n not in head}
    for content in ({"state_dict": {**moco, "module.queue": torch.ones(9, 4)}}, {"net": STATE}):
        torch.save(content, path)
        state = read_weights("small", path, fresh, optional=head)
        assert torch.equal(state["conv1.weight"], STATE["conv1.weight"])
        assert state.remarks[0].startswith("the weights under")


def test_a_network_whose_own_names_have_a_module_keeps_them(path: Path) -> None:
    own = nn.ModuleDict({"module": nn.Linear(2, 2)})
    for prefix in ("", "module."):
        torch.save(prefixed(own.state_dict(), prefix), path)
        assert read_weights("own", path, own).keys() == own.state_dict().keys()


def test_without_a_network_the_one_large_container_is_taken(path: Path) -> None:
    torch.save({"model": OTHER, "ema": prefixed(STATE, "module."), "optimizer": OPTIMISER}, path)
    state = read_weights("any", path)
    assert state.keys() == STATE.keys()
    assert all(torch.equal(v, STATE[n]) for n, v in state.items())
    assert "averaged weights under 'ema'" in state.remarks[0]
    assert torch.equal(read_weights("any", path, key="model")["fc.bias"], OTHER["fc.bias"])
    torch.save({"model": OTHER, "best": STATE}, path)
    with pytest.raises(OptionError, match="several weights that fit and differ: 'best' and 'model'"):
        read_weights("any", path)


CONTAINERS = (
    "state_dict", "model", "model_state_dict", "model_state", "net", "network", "module", "weights", "params",
    "params_ema", "ema", "ema_state_dict", "state_dict_ema", "model_ema", "shadow", "best", "checkpoint", "a.b",
)  # fmt: skip
PREFIXES = (
    "module.",
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "model.",
    "net.",
    "backbone.",
    "encoder_q.",
    "ema_model.",
)
AVERAGED = ("ema", "shadow")


class Settings:
    """A class of a trainer's own, which is not loaded."""


LEFTOVERS: dict[str, Any] = {
    "optimizer": OPTIMISER, "epoch": 12, "args": argparse.Namespace(lr=0.1, out=Path("x")), "best_acc": 0.5,
    "cfg": SimpleNamespace(depth=3), "lr_scheduler": {"last_epoch": 3, "_last_lr": [0.1]}, "scaler": {},
    "rng": torch.arange(16, dtype=torch.uint8), "name": "resnet", "history": [0.1, 0.2], "own": Settings(),
    "criterion": {"weight": torch.ones(3)}, "queue": torch.ones(4, 4),
}  # fmt: skip


@st.composite
def wrapped(draw: st.DrawFn) -> tuple[str, Any]:
    """A's or B's weights below containers and prefixes; and the path to them in words."""
    state = {n: v.clone() for n, v in draw(st.sampled_from([STATE, OTHER])).items()}
    drop = draw(st.sampled_from(["", "", "", "running", "fc.bias", "num_batches"]))
    state = {n: v for n, v in state.items() if not (drop and drop in n)}
    words = draw(st.lists(st.sampled_from(PREFIXES), max_size=3))
    state = OrderedDict(prefixed(state, "".join(words)))
    if draw(st.booleans()):
        middle = draw(st.sampled_from(["_orig_mod.", "_checkpoint_wrapped_module.", "module."]))
        state = OrderedDict((n.replace("layers.", f"layers.{middle}"), v) for n, v in state.items())
    names = draw(st.lists(st.sampled_from(CONTAINERS), max_size=3))
    content: Any = state
    for name in reversed(names):
        content = {name: content}
    return ".".join([*names, *words]), content


@settings(max_examples=150, deadline=None)
@given(
    st.lists(wrapped(), min_size=1, max_size=3),
    st.sets(st.sampled_from(sorted(LEFTOVERS)), max_size=4),
    st.sampled_from(["zip", "old", "safetensors"]),
)
def test_random_wrappings_give_one_of_their_networks_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, Any]], more: set[str], kind: str
) -> None:
    content: dict[str, Any] = {}
    for _, part in parts:
        content.update(part)  # a later one may replace an earlier one
    content.update({name: LEFTOVERS[name] for name in more})
    path = tmp_path_factory.mktemp("wrapped") / "w.pth"
    if kind == "safetensors":
        content = {n: v.clone() for n, v in content.items() if isinstance(v, torch.Tensor)}
        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    fresh = Small().eval()
    try:
        state = read_weights("small", path, fresh)
        load_weights("small", path, fresh, state)
    except OptionError as error:
        text = str(error)
        assert "\n" not in text
        if "own" in content:
            assert "holds more than plain weights" in text
            assert "torch.save(network.state_dict()" in text
        else:
            assert any(
                w in text for w in ("several", "missing", "unexpected", "no named weights", "twice")
            ), text
        return
    assert "own" not in content
    with torch.no_grad():
        found = fresh(IMAGES)
        matches = [torch.equal(found, network(IMAGES)) for network in (A, B)]
    remarks = " ".join(state.remarks)
    assert any(matches) or "with the statistics of" in remarks
    if len(parts) == 1 and not state.remarks:
        # nothing to tell: only wrappers' prefixes were before the names
        assert set(parts[0][0].split(".")) <= {"module", "_orig_mod", "_fsdp_wrapped_module", ""}
    if all(stands_in(content, network) for network in (A, B)):
        assert "is there too" in remarks or "are there too" in remarks or "statistics of" in remarks


def stands_in(content: Any, network: nn.Module) -> bool:
    """Whether all numbers of a network are somewhere in a checkpoint."""
    tensors: list[torch.Tensor] = []

    def walk(node: Any) -> None:
        if isinstance(node, torch.Tensor):
            tensors.append(node)
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            walk(value)

    walk(content)
    own = [v for v in network.state_dict().values() if v.ndim]
    return all(any(v.shape == t.shape and torch.equal(v, t) for t in tensors) for v in own)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_the_networks(path: Path, kind: torch.dtype) -> None:
    state = {n: v.to(kind) if v.is_floating_point() else v for n, v in STATE.items()}
    expected = Small().eval()
    expected.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in state.items()})
    found, _ = loaded(path, state)
    with torch.no_grad():
        assert torch.equal(found, expected(IMAGES))
