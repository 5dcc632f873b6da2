"""Memory on a device: a batch that really does not fit is halved to the same numbers, and peaks are measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.data import Sample
from harness.errors import HarnessError
from harness.inference.batches import forward_all
from harness.selftesting.outcomes import Side
from harness.selftesting.rows import Row, Verdict

if TYPE_CHECKING:
    import torch

BATCH = 64
FITTING = 3
"""Samples whose ballast fits into the free memory."""

LIMIT = 1e-4
"""Relative difference of outputs between sizes of batches, for which libraries choose other kernels."""

GB = 1e9


class Noise:
    """Samples that are prepared already: random tensors C×H×W."""

    def __init__(self, samples: torch.Tensor) -> None:
        self.samples = samples
        self.ids: Sequence[str] = [f"noise {n}" for n in range(len(samples))]
        self.targets = np.zeros(len(samples), np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        prepared: Any = self.samples[index]
        return Sample(self.ids[index], prepared)


class Hungry:
    """A network that needs a third of the device's free memory for each sample.

    On CUDA it allocates as much, and the allocator runs out. A CPU's memory must not be exhausted: there the
    error is raised in its place, from the same number of samples on.
    """

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self.network, self.device = network, device
        self.tried: list[int] = []
        self.fitted: list[int] = []
        self.each = 0
        if device.type == "cuda":
            import torch

            torch.cuda.empty_cache()
            self.each = torch.cuda.mem_get_info(device)[0] // FITTING

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs B×D, with the ballast held meanwhile."""
        import torch

        self.tried.append(len(batch))
        if self.device.type != "cuda" and len(batch) > FITTING:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory (feigned)")
        ballast = torch.empty(len(batch) * self.each, dtype=torch.uint8, device=self.device)
        result: torch.Tensor = self.network(batch)
        del ballast
        self.fitted.append(len(batch))
        return result


def check_halving(device: torch.device) -> Row:
    """Return the row on a batch of `BATCH` samples that needs more memory than the device has."""
    import torch

    generator = torch.Generator().manual_seed(0)
    split = Noise(torch.randn(BATCH, 3, 32, 32, generator=generator))
    network = _build_network().to(device).eval()
    whole: torch.Tensor = forward_all(network, split, _keep, device=device, batch_size=FITTING)
    hungry = Hungry(network, device)
    kind = "" if device.type == "cuda" else ", feigned"
    check = f"out of memory{kind}: a batch of {BATCH} is halved"
    try:
        halved: torch.Tensor = forward_all(hungry, split, _keep, device=device, batch_size=BATCH)
    except HarnessError as error:
        return Row(check, str(error), "", f"{LIMIT:.0e}", "FAIL", {"tried": hungry.tried})
    return judge_halving(check, hungry.tried, hungry.fitted, halved.numpy(), whole.numpy())


def judge_halving(check: str, tried: Sequence[int], fitted: Sequence[int], halved: Any, whole: Any) -> Row:
    """Return the row: the first size tried must not fit, and the outputs be those of a size that does."""
    error = float(np.abs(halved - whole).max() / max(float(np.abs(whole).max()), 1e-30))
    ran_out = max(fitted) < tried[0]
    text = (
        f"{tried[0]} → {max(fitted)}, off by {error:.1e}"
        if ran_out
        else f"{tried[0]} fitted: nothing ran out"
    )
    verdict: Verdict = "ok" if ran_out and error <= LIMIT else "FAIL"
    return Row(
        check, text, f"batches of {FITTING}", f"{LIMIT:.0e}", verdict, {"tried": list(tried), "error": error}
    )


def check_peaks(part: str, device: Side, reference: Side, total: int | None) -> list[Row]:
    """Return the row on the peak memory in a part's records: measured, and not above the device's own (`total` bytes)."""
    name = "peak_process_memory" if total is None else "peak_memory"
    peaks = [
        [o.record.cost[n] for o in side.outcomes.values() if n in o.record.cost]
        for side, n in ((device, name), (reference, "peak_process_memory"))
    ]
    ran = sum(o.record.status == "ok" for o in device.outcomes.values())
    if not ran:
        return []
    highest = max(peaks[0], default=0.0)
    right = len(peaks[0]) >= ran and highest > 0 and (total is None or highest <= total)
    texts = [f"{max(side) / GB:.2f} GB" if side else "not measured" for side in peaks]
    limit = "measured" if total is None else f"above 0, at most {total / GB:.0f} GB"
    facts = {"peaks": peaks[0], "total": total}
    return [
        Row(
            f"{part}: peak memory", texts[0], f"{texts[1]} (process)", limit, "ok" if right else "FAIL", facts
        )
    ]


def _build_network() -> torch.nn.Sequential:
    from torch import nn

    from harness.running.devices import seed_all

    seed_all(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2), nn.GELU(), nn.Conv2d(16, 16, 3, 2), nn.Flatten(), nn.Linear(16 * 7 * 7, 10)
    )


def _keep(image: Any) -> Any:
    return image
