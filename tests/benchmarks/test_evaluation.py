"""A cell through the harness against the tightest plain PyTorch loop that does the same work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contract.seeds import derive_seed
from harness.discovery import registry
from harness.inference.split_subsets import draw_subset
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records.store import Store
from harness.running.devices import settle_on_device
from harness.running.executors.inline import Inline
from harness.running.worker import RunSettings

BATCH = 64


class Kept:
    """A model as in the suites, with weights from a generator instead of a training."""

    label_space = "scenes"

    def __init__(self, name: str = "resnet", seed: int = 0) -> None:
        self.name, self.seed = name, seed

    def load(self, device: Any) -> None:
        """Builds the network."""
        import torch

        from harness_embedded.tiny_networks import build_tiny_resnet, build_tiny_vit

        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self.module = (
                (build_tiny_resnet(12, 16) if self.name == "resnet" else build_tiny_vit(12, 64))
                .eval()
                .to(device)
            )

    def prepare(self, image: Any) -> Any:
        """3×32×32, normalised."""
        import torch

        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return pixels.float().div_(255).sub_(0.5).div_(0.25)

    def classify(self, images: Any) -> Any:
        """Logits B×12."""
        return self.module(images)


def plain_loop(model: Kept, open_split: Callable[[], Any]) -> Generator[None, None, np.ndarray[Any, Any]]:
    """Images to logits, with nothing around it: the same decoding, preparation, batches and network.

    It rests after each batch. Kernels are repeatable here too: the harness has asked torch for that by then.
    """
    import torch
    from PIL import Image

    model.load(torch.device("cpu"))
    settle_on_device(model.module, torch.device("cpu"))
    split, out = open_split(), []
    for start in range(0, len(split), BATCH):
        with torch.inference_mode():
            images = [split[i].image for i in range(start, min(start + BATCH, len(split)))]
            images = [i if isinstance(i, Image.Image) else Image.fromarray(i) for i in images]
            out.append(model.module(torch.stack([model.prepare(i) for i in images])))
        yield
    return torch.cat(out).numpy()


class Turns:
    """The plain loop in turns with the harness, a batch each: what slows the machine for a while slows both."""

    def __init__(self, loop: Generator[None, None, np.ndarray[Any, Any]]) -> None:
        self.loop, self.seconds, self.logits = loop, 0.0, np.empty(0)

    def step(self) -> bool:
        """A batch of the loop; False when there is none left."""
        start = time.process_time()
        try:
            next(self.loop)
        except StopIteration as end:
            self.logits = end.value
            return False
        finally:
            self.seconds += time.process_time() - start
        return True

    def tell(self, event: str, **_: Any) -> None:
        """Hears the harness's events: it has done a batch at each step of progress."""
        if event == "cell_progress":
            self.step()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_evaluation_costs_no_more_than_a_plain_loop(
    benchmark: Any, measuring: bool, tmp_path: Path, name: str
) -> None:

    registry.register("models", "kept", Kept)
    suite = parse_suite(
        {
            "name": "cost",
            # the largest embedded split: a cell's record costs some hundredths of a second, however large it is
            "protocol": {"plugin": "classification", "split": "train"},
            "models": [f"kept:{name}"],
            "datasets": [{"plugin": "scenes", "label": "scenes"}],
            "metrics": ["top1", "ece"],
            **({} if measuring else {"limit": 100}),
        }
    )
    (planned,) = make_plan(suite)
    runs = iter(range(1000))

    def through_the_harness(tell: Callable[..., None] = lambda *_, **__: None) -> Any:
        # a cache of its own for each run: what is measured is computing, not remembering
        settings = RunSettings(tmp_path / "store", "cpu", BATCH, cache=tmp_path / f"cache-{next(runs)}")
        ((_, record),) = Inline().execute([planned.cell], settings, tell)
        assert record.status == "ok", record.reason
        return record

    def opened() -> Any:
        split = planned.cell.dataset.object.load("train")
        return split if measuring else draw_subset(split, 100, derive_seed("limit", 100))

    def in_turns() -> tuple[float, np.ndarray[Any, Any], Any]:
        """CPU time through the harness over that of the plain loop, the loop's logits, and the record."""
        turns = Turns(plain_loop(Kept(name), opened))
        start = time.process_time()
        record = through_the_harness(turns.tell)
        whole, meanwhile = time.process_time() - start, turns.seconds
        while turns.step():
            pass
        return (whole - meanwhile) / turns.seconds, turns.logits, record

    _, plain, record = in_turns()
    (logits,) = [a for f in tmp_path.glob("cache-0/**/*.npy") if (a := np.load(f)).ndim == 2]
    assert np.array_equal(logits, plain)  # to the bit
    samples = Store(tmp_path / "store").samples(record.id)
    assert samples["prediction"].tolist() == plain.argmax(axis=1).tolist()

    benchmark.pedantic(through_the_harness, rounds=1)
    if measuring:
        cost = statistics.median(in_turns()[0] for _ in range(9))
        benchmark.extra_info["times the plain loop"] = cost
        assert cost <= 1.05
