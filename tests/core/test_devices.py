"""Choosing a device, seeding, and how frozen networks are set."""

import random

import numpy as np
import pytest
import torch

from harness.errors import HarnessError
from harness.running.devices import (
    is_convolutional,
    make_deterministic,
    one_thread,
    pick_device,
    preparing_threads,
    seed_all,
    settle_on_device,
)


def test_auto_takes_what_there_is() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device().type == expected
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:-1"])
def test_names_of_no_device(name: str) -> None:
    with pytest.raises(HarnessError, match=f"^--device {name}: no such device; expected auto, cpu, cuda"):
        pick_device(name)


@pytest.mark.parametrize(
    ("available", "words"), [(False, "has no CUDA device"), (True, r"has 2 CUDA device\(s\)")]
)
def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch, available: bool, words: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(HarnessError, match=f"^--device cuda:2: this machine {words}"):
        pick_device("cuda:2")


def test_other_accelerators_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(HarnessError, match=r"^--device mps: this machine has no device"):
        pick_device("mps")
    with pytest.raises(HarnessError, match=r"^--device meta: .*holds no numbers"):
        pick_device("meta")


def test_seeding_repeats_all_three_generators() -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002

    seed_all(3)
    first = drawn()
    seed_all(3)
    assert drawn() == first
    seed_all(4)
    assert not set(drawn()) & set(first)


def test_deterministic() -> None:
    make_deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()


def test_settling() -> None:
    conv = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.BatchNorm2d(8),
        torch.nn.Conv2d(8, 8, 3),
        torch.nn.Conv2d(8, 8, 3),
        torch.nn.Linear(8, 2),
    )
    image = torch.randn(2, 3, 9, 9)
    before = conv[:4].eval()(image)
    settle_on_device(conv.train(), torch.device("cpu"))
    assert not conv.training
    assert not any(p.requires_grad for p in conv.parameters())
    assert conv[2].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(conv[:4](image), before, rtol=1e-4, atol=1e-5)
    transformer = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, 4), torch.nn.TransformerEncoderLayer(8, 2, 16))
    assert is_convolutional(conv)
    assert not is_convolutional(transformer)


@pytest.mark.parametrize(
    ("device", "cores", "threads"),
    [("cpu", 1, 0), ("cpu", 2, 1), ("cpu", 64, 8), ("cuda", 1, 1), ("cuda", 4, 3), ("cuda", 64, 8)],
)
def test_threads_that_prepare_leave_a_core_to_the_network(device: str, cores: int, threads: int) -> None:
    assert preparing_threads(torch.device(device), cores) == threads


def test_one_thread_is_for_the_block_only() -> None:
    def fails() -> None:
        with one_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            fails()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
