"""Which GPUs a run may use, from the driver's listing and CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.running import visible_devices
from harness.running.executors.processes import choose_gpus
from harness.running.visible_devices import Gpu, choose_visible, list_gpus, parse_listing, seeing_only

LISTING = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5c1111-0000)
  MIG 3g.20gb     Device  0: (UUID: MIG-aaaa-1)
  MIG 2g.10gb     Device  1: (UUID: MIG-bbbb-2)
GPU 2: NVIDIA H200 (UUID: GPU-77)
"""


def test_the_listing_with_parts_of_a_gpu() -> None:
    assert [(g.id, g.index) for g in parse_listing(LISTING)] == [
        ("GPU-5d5ba0d6-d33d", 0),
        ("MIG-aaaa-1", 1),
        ("MIG-bbbb-2", 1),
        ("GPU-77", 2),
    ]
    assert parse_listing(LISTING)[1].name == "NVIDIA A100-SXM4-40GB MIG 3g.20gb"
    assert parse_listing("No devices were found\n") == []


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        (None, ["GPU-5d5ba0d6-d33d", "MIG-aaaa-1", "MIG-bbbb-2", "GPU-77"]),
        ("", []),
        ("2,0", ["2", "0"]),
        (" 2 , 0", ["2", "0"]),
        ("2,-1,0", ["2"]),
        ("2,9,0", ["2"]),
        ("GPU-77", ["GPU-77"]),
        ("GPU-7", ["GPU-77"]),
        ("GPU-5", ["GPU-5d5ba0d6-d33d"]),
        ("MIG-bbbb-2,GPU-77", ["MIG-bbbb-2", "GPU-77"]),
        ("2,2", ["2"]),
        ("NoDevFiles", []),
    ],
)
def test_what_the_environment_allows(visible: str | None, ids: list[str]) -> None:
    assert [g.id for g in choose_visible(parse_listing(LISTING), visible)] == ids


@given(st.lists(st.integers(-2, 9), max_size=6))
def test_indices_end_at_the_first_that_names_no_gpu(entries: list[int]) -> None:
    gpus = [Gpu(f"GPU-{n}", "A", n) for n in range(4)]
    chosen = choose_visible(gpus, ",".join(map(str, entries)))
    good: list[int] = []
    for n in entries:
        if n not in range(4) or n in good:
            break
        good.append(n)
    assert [g.index for g in chosen] == good


def test_an_ambiguous_beginning_names_none() -> None:
    gpus = [Gpu("GPU-ab", "A", 0), Gpu("GPU-ac", "A", 1)]
    assert choose_visible(gpus, "GPU-a") == []


def test_a_run_on_one_device_uses_that_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visible_devices, "_ask_driver", lambda: LISTING)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert [g.id for g in list_gpus()] == ["2", "0"]
    assert choose_gpus("cuda:1") == ([Gpu("0", "NVIDIA A100-SXM4-40GB", 0)], "cuda")
    assert choose_gpus("cuda:2") == ([], "cuda:2")  # the worker says that there is none
    assert choose_gpus("cpu") == ([], "cpu")
    assert len(choose_gpus("auto")[0]) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choose_gpus("auto") == ([], "auto")


def test_processes_that_start_inside_the_block_see_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> str:
        code = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()

    for before in ("0,1", None):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if before is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
        with seeing_only("GPU-77"):
            assert asked() == "GPU-77"
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
        with seeing_only(None):
            assert asked() == str(before)
