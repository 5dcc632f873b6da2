"""The whole check with a CPU as the device: it holds, and each injected fault fails by name."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness.cli import main
from harness.discovery import registry
from harness.errors import HarnessError, SuiteError
from harness.inference.batches import forward_all
from harness.selftesting import check_device as checking
from harness.selftesting import memory, outcomes, outputs, throughput
from harness.selftesting.parts import Part, find_parts
from harness.selftesting.rows import SelfTest
from harness.selftesting.throughput import Speed, judge_data_path, judge_speed, measure_speed

CPU = torch.device("cpu")
SMALL = "tiny-vit?trained_on=digits&steps=0&width=32"
PROTOCOLS = ("classification", "gan")
"""One that evaluates a frozen network, one that trains."""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two protocols instead of all, and no measured times."""

    def find(suites: Sequence[str] = (), quick: bool = False) -> list[Part]:
        return [part for part in find_parts((), True) if part.name in PROTOCOLS]

    monkeypatch.setattr(checking, "find_parts", find)
    monkeypatch.setattr(throughput, "measure_speed", lambda *given: Speed([10.0] * 3, [9.9] * 3))


def check() -> SelfTest:
    return checking.check_device("cpu", model=SMALL)


def failed(found: SelfTest) -> str:
    return "\n".join(f"{row.check} | {row.device}" for row in found.failed)


def test_a_cpu_agrees_with_itself(few: None) -> None:
    found = check()
    assert found.holds, failed(found)
    compared = [row for row in found.rows if "numbers" in row.facts and row.verdict != "note"]
    assert len(compared) >= 4
    assert all(row.device == "all equal" for row in compared), [row.cells() for row in compared]
    ends = [row for row in found.rows if "ends of trainings" in row.check]
    assert ends
    assert all(pair["device"] == pair["CPU"] for row in ends for pair in row.facts["numbers"])
    checks = "\n".join(row.check for row in found.rows)
    for named in ("classification: 1 frozen cells", "gan: 2 trained cells, first losses", "peak memory",
                  "logits in float32", "logits in bfloat16", "out of memory, feigned", "throughput", "data path"):  # fmt: skip
        assert named in checks
    (float32,) = [row for row in found.rows if row.check.endswith("logits in float32")]
    assert float32.facts["relative_error"] == 0.0
    assert found.facts["device"].startswith("cpu")
    assert "torch" in found.facts["versions"]


def test_a_number_that_is_off_fails_and_the_command_exits_with_1(
    few: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = outcomes.run_cells

    def faulty(cells: Any, device: str, place: Path) -> outcomes.Side:
        side = run(cells, device, place)
        for outcome in side.outcomes.values():
            if place.name == "device" and "top1" in outcome.record.metrics:
                outcome.record.metrics["top1"] += 0.1
        return side

    monkeypatch.setattr(outcomes, "run_cells", faulty)
    file = tmp_path / "gpu.md"
    arguments = ["selftest", "--device", "cpu", "--model", SMALL, "--quiet"]
    assert main([*arguments, "--format", "markdown", "--output", str(file)]) == 1
    printed = capsys.readouterr().out
    assert file.read_text() == printed
    assert "| FAIL" in printed
    assert "top1" in "\n".join(line for line in printed.splitlines() if "FAIL" in line)
    assert main([*arguments, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert not data["holds"]
    assert [row["verdict"] for row in data["rows"]].count("FAIL") == 2


def test_a_training_that_differs_from_the_start_fails(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run = outcomes.run_cells

    def faulty(cells: Any, device: str, place: Path) -> outcomes.Side:
        side = run(cells, device, place)
        for outcome in side.outcomes.values():
            if place.name == "device":
                outcome.losses = {k: [(s, 1.2 * v) for s, v in c] for k, c in outcome.losses.items()}
        return side

    monkeypatch.setattr(outcomes, "run_cells", faulty)
    text = failed(check())
    assert "gan: 2 trained cells, first losses" in text
    assert "classification" not in text


@pytest.mark.parametrize(("noise", "factor", "holds"), [(1e-6, 1.0, True), (0.0, 3.0, False)])
def test_rounding_noise_is_within_the_tolerances_and_faults_are_not(
    monkeypatch: pytest.MonkeyPatch, noise: float, factor: float, holds: bool
) -> None:
    run, linear = outcomes.run_cells, torch.nn.functional.linear

    def noisy(cells: Any, device: str, place: Path) -> outcomes.Side:
        if place.name == "device":
            generator = torch.Generator().manual_seed(1)

            def rounded(*given: Any) -> torch.Tensor:
                exact = linear(*given)
                return exact * (factor + noise * torch.randn(exact.shape, generator=generator))

            monkeypatch.setattr(torch.nn.functional, "linear", rounded)
        side = run(cells, device, place)
        monkeypatch.setattr(torch.nn.functional, "linear", linear)
        return side

    monkeypatch.setattr(outcomes, "run_cells", noisy)
    (part,) = [part for part in find_parts((), True) if part.name == "fusion"]
    rows, _ = checking._check_part(part, CPU)
    (losses,) = [row for row in rows if "first losses" in row.check]
    assert (losses.verdict == "ok") == holds
    assert losses.device != "all equal"


def test_outputs_that_are_off_fail(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = outputs.Subject.compute
    calls = []

    def faulty(self: Any, device: Any, precision: str) -> Any:
        calls.append(precision)
        found = compute(self, device, precision)
        return found + np.float32(len(calls) % 3 == 0)  # the third: bfloat16

    monkeypatch.setattr(outputs.Subject, "compute", faulty)
    found = check()
    assert [row.check.rpartition(" ")[2] for row in found.failed] == ["bfloat16"]


def test_what_a_device_raises_is_a_failed_row(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> Iterator[Any]:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(outputs.Subject, "compute", broken)
    assert "device-side assert triggered" in failed(check())


class Away:
    """A model whose weights are elsewhere."""

    def unavailable(self) -> str:
        return "its weights are not here"

    def load(self, device: object) -> None:
        raise AssertionError


def test_a_model_that_is_not_here_is_not_checked() -> None:
    with registry.register_temporarily("models", "away", Away):
        rows = list(checking._check_speed("away", CPU, 1))
    assert [(row.verdict, row.device) for row in rows] == [("not checked", "its weights are not here")]
    with pytest.raises(HarnessError, match="no model plugin named 'no-such'"):
        list(checking._check_speed("no-such", CPU, 1))


def test_halving_gives_the_same_numbers() -> None:
    row = memory.check_halving(CPU)
    assert row.verdict == "ok"
    assert row.facts["tried"][:5] == [64, 32, 16, 8, 4]
    assert max(row.facts["tried"][6:]) <= memory.FITTING


def test_halving_that_changes_numbers_or_never_happens_fails() -> None:
    ones = np.ones((4, 2))
    assert memory.judge_halving("x", [64, 32], [32], ones, ones).verdict == "ok"
    assert memory.judge_halving("x", [64], [64], ones, ones).verdict == "FAIL"
    assert memory.judge_halving("x", [64, 32], [32], 1.01 * ones, ones).verdict == "FAIL"


def test_a_device_on_which_not_one_sample_fits_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(forward: Any, *given: Any, **options: Any) -> Any:
        hungry = isinstance(forward, memory.Hungry)
        return forward_all(forward, *given, **options) if hungry else torch.ones(64, 10)

    monkeypatch.setattr(memory, "FITTING", 0)
    monkeypatch.setattr(memory, "forward_all", evaluate)
    row = memory.check_halving(CPU)
    assert row.verdict == "FAIL"
    assert "a single sample does not fit into memory" in row.device


def test_a_slow_harness_fails() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10)).eval()

    def slow(forward: Any, split: Any, prepare: Any, **options: Any) -> Any:
        began = time.perf_counter()
        forward_all(forward, split, prepare, **options)
        time.sleep(2 * (time.perf_counter() - began))

    speed = measure_speed(network, (3, 32, 32), CPU, 8, rounds=3, evaluate=slow)
    assert speed.ratio < 0.9
    assert judge_speed("x", speed).verdict == ("FAIL" if speed.steady else "not checked")
    assert judge_speed("x", Speed([100.0, 100.0, 90.0], [91.0, 95.0, 82.8])).verdict == "ok"
    assert Speed([100.0, 100.0, 90.0], [91.0, 95.0, 82.8]).ratio == pytest.approx(0.92)
    row = judge_speed("x", Speed([100.0, 60.0, 100.0], [50.0, 50.0, 50.0]))
    assert row.verdict == "not checked"
    assert "varies from 60 to 100: the machine is busy" in row.device
    assert judge_speed("x", Speed([100.0], [89.0])).verdict == "FAIL"


def test_the_harness_does_the_work_of_the_bare_loop() -> None:
    seen: list[int] = []

    def forward(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return batch.flatten(1)[:, :2]

    measured: list[int] = []

    def count(*given: Any, **options: Any) -> Any:
        before = sum(seen)
        result = forward_all(*given, **options)
        measured.append(sum(seen) - before)
        assert len(result) == measured[-1]
        return result

    measure_speed(forward, (3, 8, 8), CPU, 4, rounds=2, evaluate=count)
    assert set(measured) == {4 * throughput.MOST_BATCHES}  # a bare pass takes less than half a second


def test_how_many_cores_keep_up() -> None:
    def judge(rate: float, cores: int) -> Any:
        return judge_data_path("m", {"exact": rate, "fast": 3 * rate}, 1000.0, cores, 900.0, 7)

    row = judge(100.0, 16)
    assert row.verdict == "ok"
    assert row.facts["cores_needed"] == {"exact": 10, "fast": 4}
    assert judge(99.0, 11).verdict == "ok"
    assert judge(99.0, 10).verdict == "note"  # a machine with few cores is no fault


def test_photographs_are_prepared_for_the_network() -> None:
    images = throughput.make_photographs(2)
    assert harness.decode(images[0]).size == (500, 375)
    assert 20_000 < len(images[0].data) < 400_000
    assert throughput.measure_preparation(lambda several: [harness.decode(i) for i in several], images, 1) > 0


def test_the_parts_are_the_quick_editions_or_the_smallest_grids() -> None:
    names = [part.name for part in find_parts()]
    assert {f"{s}@quick" for s in ("robustness", "peft", "prompts", "fusion", "gan", "training")} <= set(
        names
    )
    assert {p.cell.seed for part in find_parts(["gan"]) for p in part.plan()} == {0}
    assert len(find_parts(["gan@quick", "fusion"])) == 2
    assert {"classification", "finetuning"} <= {part.name for part in find_parts(quick=True)}
    with pytest.raises(SuiteError, match="has no edition 'quick'"):
        find_parts(["gan-images"])
    with pytest.raises(SuiteError, match="leave --suites out"):
        find_parts(["gan"], quick=True)
    with pytest.raises(SuiteError, match="did you mean"):
        find_parts(["robustnes"])


def test_what_it_is_called_with(
    few: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["selftest", "--device", "cuda:99"]) == 2
    assert "cuda:99" in capsys.readouterr().err
    with pytest.raises(HarnessError, match="unknown option 'devise'"):
        harness.selftest(devise="cpu")  # type: ignore[call-arg]
    monkeypatch.setattr(checking, "check_device", lambda *given: given)
    assert harness.selftest(device="cpu", suites="gan")[:4] == ("cpu", ["gan"], False, checking.MODEL)  # type: ignore[index]
