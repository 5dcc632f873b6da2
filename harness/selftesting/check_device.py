"""The check of a machine: every part on the device and on the CPU, then outputs, memory and speed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_short
from harness.errors import HarnessError, reason_of
from harness.records.provenance import device_facts, environment
from harness.running.devices import make_deterministic, pick_device
from harness.selftesting import memory, outcomes, throughput
from harness.selftesting.comparison import compare_sides
from harness.selftesting.outputs import compare_outputs, find_subjects, forward_of, load_model
from harness.selftesting.parts import Part, find_parts
from harness.selftesting.rows import Row, SelfTest
from harness.selftesting.tolerances import FLOAT32

if TYPE_CHECKING:
    import torch

    from harness.contract.cells import Cell

MODEL = "timm:resnet50?pretrained=false"
"""The network of the speed checks: of a usual size, with random weights, which are as fast as any."""

BATCH = {"cuda": 64}
BATCH_ELSEWHERE = 16

Say = Callable[[str], object]


def check_device(
    device: str = "auto",
    suites: Sequence[str] = (),
    quick: bool = False,
    model: str = MODEL,
    say: Say = lambda text: None,
) -> SelfTest:
    """Run small parts of the suites on a device and on the CPU, and compare them; then memory and speed.

    Raises HarnessError if torch can't use the device, or a part can't be planned.
    """

    began = time.perf_counter()
    chosen = pick_device(device)
    make_deterministic()
    parts = find_parts(suites, quick)
    facts = describe_device(chosen)
    rows: list[Row] = []
    cells: list[Cell] = []
    for part in parts:
        say(f"{part.name}: its cells on {chosen}, then on the CPU")
        found, planned = _check_part(part, chosen)
        rows += found
        cells += planned
    for subject in find_subjects(cells):
        say(f"{subject.name}: outputs in float32 and bfloat16")
        rows += _guard(f"{subject.name}: outputs", lambda s=subject: compare_outputs(s, chosen))  # type: ignore[misc]
    say("memory and speed")
    rows += _guard("out of memory", lambda: [memory.check_halving(chosen)])
    rows += _guard("throughput", lambda: _check_speed(model, chosen, 3 if quick else throughput.ROUNDS))
    facts |= {"parts": ", ".join(part.name for part in parts), "seconds": round(time.perf_counter() - began)}
    return SelfTest(facts, rows, FLOAT32.reasons())


def describe_device(device: torch.device) -> dict[str, Any]:
    """Return the facts above the table: device, memory, driver, torch, and the host."""
    import torch

    known, found = environment(), device_facts(str(device))
    host = known["host"]
    facts: dict[str, Any] = {"device": f"{device} ({found.get('name') or host['cpu'] or host['machine']})"}
    if "memory" in found:
        facts["memory"] = f"{found['memory'] / 1e9:.1f} GB"
        facts["driver"] = f"{found['driver']}, CUDA {found['cuda']}, cuDNN {found['cudnn']}"
    facts["CPU"] = (
        f"{host['cpu'] or host['machine']}, {host['cpus']} cores, torch with {torch.get_num_threads()} threads"
    )
    facts["versions"] = ", ".join(
        [f"vision-harness {known['harness']}", f"Python {known['python']}"]
        + [f"{name} {version}" for name, version in known["libraries"].items()]
    )
    return facts


def _check_part(part: Part, device: torch.device) -> tuple[list[Row], list[Cell]]:
    """Return the rows of a part, and its cells."""
    plans = [[p.cell for p in part.plan() if p.state == "run"] for _ in range(2)]
    if not plans[0]:
        reasons = "; ".join(dict.fromkeys(p.reason or p.state for p in part.plan()))
        return [Row(part.name, f"no cell can run here: {reasons}", "", "", "not checked")], []
    with tempfile.TemporaryDirectory(prefix="harness-selftest-", ignore_cleanup_errors=True) as folder:
        names = (str(device), "cpu")
        found, expected = (
            outcomes.run_cells(cells, name, Path(folder) / place)
            for cells, name, place in zip(plans, names, ("device", "reference"), strict=True)
        )
    total = device_facts(str(device)).get("memory")
    rows = compare_sides(part.name, found, expected)
    return rows + memory.check_peaks(part.name, found, expected, total), plans[1]


def _check_speed(reference: str, device: torch.device, rounds: int) -> Iterator[Row]:
    part = Resolver().resolve("models", parse_short(reference), f"--model {reference}")
    if part.problem or part.missing:
        yield Row(f"throughput: {reference}", str(part.problem or part.missing), "", "", "not checked")
        return
    model = load_model(part, device)
    forward = forward_of(model)
    shape = tuple(model.prepare(_white_square()).shape)
    speed = throughput.measure_speed(forward, shape, device, BATCH.get(device.type, BATCH_ELSEWHERE), rounds)
    yield throughput.judge_speed(reference, speed)
    rate = sorted(speed.bare)[len(speed.bare) // 2]
    yield throughput.check_data_path(reference, model, forward, rate, device, os.cpu_count() or 1)


def _white_square() -> Any:
    from PIL import Image

    return Image.new("RGB", (256, 256), "white")


def _guard(check: str, make: Callable[[], Iterator[Row] | Sequence[Row]]) -> list[Row]:
    """Return the rows that are made, and a failed one in place of those that an exception cuts off."""
    rows: list[Row] = []
    try:
        rows.extend(make())  # of a generator, those before an exception stay
    except HarnessError as error:
        rows.append(Row(check, str(error), "", "", "FAIL"))
    except (
        Exception
    ) as error:  # a device, its driver or a plugin may raise anything, which is what is looked for
        rows.append(Row(check, reason_of(error), "", "", "FAIL"))
    return rows
