"""A network over a split: order, halving when memory ends, workers, errors, mixed precision."""

from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.contract.data import EncodedImage, Sample
from harness.errors import DataError, HarnessError
from harness.inference.batches import OutOfMemory, autocast, forward_all, ran_out_of_memory
from harness.inference.images import Staged, decode

CPU = torch.device("cpu")


class Numbers:
    """Samples whose image is their own number."""

    def __init__(self, count: int) -> None:
        self.ids = [f"n{i}" for i in range(count)]
        self.targets = np.zeros(count, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], np.full((1, 1), index, np.uint8))


def prepare(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).astype(np.float32))[None]


class Forward:
    """Twice its input; out of memory above a size, once or always; remembers the sizes it saw."""

    def __init__(self, limit: int = 10**6) -> None:
        self.limit, self.sizes = limit, list[int]()

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        self.sizes.append(len(batch))
        return batch.reshape(len(batch), -1) * 2


def run(count: int = 50, forward: Any = None, **options: Any) -> torch.Tensor:
    return forward_all(forward or Forward(), Numbers(count), prepare, device=CPU, **options)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 7, 50, 64])
def test_order_is_kept(workers: int, batch_size: int) -> None:
    assert run(batch_size=batch_size, workers=workers).flatten().tolist() == [2.0 * n for n in range(50)]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 31])
@pytest.mark.parametrize("workers", [0, 2])
def test_out_of_memory_halves_and_gives_the_same(limit: int, workers: int) -> None:
    forward = Forward(limit)
    torch.testing.assert_close(
        run(forward=forward, batch_size=32, workers=workers), run(batch_size=32), rtol=0, atol=0
    )
    assert max(forward.sizes) <= limit


def test_the_smaller_size_is_kept_and_not_made_smaller_by_remainders() -> None:
    forward = Forward(3)
    run(15, forward, batch_size=5)
    assert forward.sizes == [3, 2, 3, 3, 3, 1]


def test_one_sample_that_does_not_fit() -> None:
    with pytest.raises(OutOfMemory, match="a single sample does not fit") as caught:
        run(forward=Forward(0))
    assert ran_out_of_memory(caught.value)


def test_other_errors_pass() -> None:
    def forward(batch: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(forward=forward)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (torch.cuda.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: BaseException, answer: bool) -> None:
    assert ran_out_of_memory(error) is answer


def test_indices_and_empty() -> None:
    assert run(indices=[5, 3, 5]).flatten().tolist() == [10.0, 6.0, 10.0]
    assert run(0).numel() == 0


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    run(10, batch_size=4, advance=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 10), (8, 10), (10, 10)]


class Bad(Numbers):
    """One of its samples is as `image` says."""

    def __init__(self, image: Any) -> None:
        super().__init__(40)
        self.image = image

    def __getitem__(self, index: int) -> Sample:
        return Sample("folder/bad.png", self.image) if index == 17 else super().__getitem__(index)


def truncated() -> Any:
    """An image of the lazy kind, whose file ends too early."""
    import io

    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole, "PNG")
    return Image.open(io.BytesIO(whole.getvalue()[:-4000]))


def shrunk(image: Image.Image) -> torch.Tensor:
    return prepare(np.asarray(image.convert("L").resize((1, 1))))


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "image", [None, EncodedImage(b"", "folder/bad.png"), np.zeros((2, 2), np.float32), truncated]
)
def test_errors_name_the_sample(image: Any, workers: int, staged: bool) -> None:
    way = Staged(shrunk) if staged else lambda image: shrunk(decode(image))
    split = Bad(image() if image is truncated else image)
    with pytest.raises(DataError, match=r"folder/bad\.png"):
        forward_all(Forward(), split, way, device=CPU, workers=workers)


@given(
    count=st.integers(0, 150),
    batch_size=st.integers(1, 80),
    workers=st.integers(0, 3),
    held=st.sampled_from([1, 5000, 2**21]),
)
@settings(max_examples=30)
def test_groups_change_no_image(count: int, batch_size: int, workers: int, held: int) -> None:
    """Whatever of them is prepared together: each image as alone, in order, each looked at once."""
    rng = np.random.default_rng(count)
    pictures = [rng.integers(0, 256, (*rng.integers(1, 90, 2), 3), np.uint8) for _ in range(count)]
    seen: list[bytes] = []

    class Pictures(Numbers):
        def __getitem__(self, index: int) -> Sample:
            return Sample(self.ids[index], pictures[index])

    def way(image: Image.Image) -> torch.Tensor:
        seen.append(image.tobytes())
        return shrunk(image)

    split = Pictures(count)
    with mock.patch("harness.inference.images.HELD", held):
        got = forward_all(Forward(), split, Staged(way), device=CPU, batch_size=batch_size, workers=workers)
    alone = [2 * shrunk(Image.fromarray(picture)).item() for picture in pictures]
    assert got.flatten().tolist() == alone
    assert sorted(seen) == sorted(picture.tobytes() for picture in pictures)


def test_precision_reaches_the_forward() -> None:
    linear = torch.nn.Linear(1, 3)
    seen: list[torch.dtype] = []

    def forward(batch: torch.Tensor) -> torch.Tensor:
        out = linear(batch.reshape(len(batch), 1))
        seen.append(out.dtype)
        assert not out.requires_grad
        return out

    for precision in ("float32", "bfloat16"):
        assert run(forward=forward, precision=precision).dtype == torch.float32
    assert seen == [torch.float32, torch.bfloat16]
    with autocast(CPU, "float32"):
        assert not torch.is_autocast_enabled("cpu")


class Sides(Numbers):
    """Samples of different sizes: number i is i + 1 pixels wide."""

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], np.full((1, index + 1), index, np.uint8))


class Detect:
    """Boxes, as many as the number says modulo 3; out of memory above a size; a list, or a dict around it."""

    def __init__(self, limit: int = 10**6, whole: bool = False) -> None:
        self.limit, self.whole, self.sizes = limit, whole, list[int]()

    def __call__(self, batch: dict[str, Any]) -> Any:
        images = batch["images"]
        if len(images) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.sizes.append(len(images))
        each = []
        for image in images:
            number = int(image.flatten()[0])
            boxes = torch.full((number % 3, 4), float(number), dtype=torch.bfloat16)
            each.append({"boxes": boxes, "labels": torch.full((number % 3,), number)})
        if not self.whole:
            return each
        widths = torch.tensor([i.shape[-1] for i in images])
        return {"objects": each, "parts": (widths, widths > 3), "mean": widths.double()}


def collate(samples: list[torch.Tensor]) -> dict[str, Any]:
    return {"images": samples, "note": "as it is"}


def detect(forward: Any, **options: Any) -> Any:
    return forward_all(forward, Sides(20), prepare, device=CPU, collate=collate, **options)


@pytest.mark.parametrize("limit", [1, 3, 64])
@pytest.mark.parametrize("workers", [0, 2])
def test_samples_of_different_sizes_and_ragged_results(limit: int, workers: int) -> None:
    forward = Detect(limit)
    found = detect(forward, batch_size=8, workers=workers)
    assert [len(each["boxes"]) for each in found] == [n % 3 for n in range(20)]
    assert all((each["labels"] == n).all() for n, each in enumerate(found))
    assert {each["boxes"].dtype for each in found} == {torch.float32}
    assert {each["labels"].dtype for each in found} == {torch.int64}
    assert max(forward.sizes) <= limit


def test_dicts_and_tuples_are_put_together_by_key_and_position() -> None:
    found = detect(Detect(whole=True), batch_size=7)
    assert len(found["objects"]) == 20
    widths, wide = found["parts"]
    assert widths.tolist() == list(range(1, 21))
    assert wide.dtype == torch.bool
    assert wide.sum() == 17
    assert found["mean"].dtype == torch.float32


def test_a_list_must_have_an_entry_per_sample() -> None:
    with pytest.raises(HarnessError, match="a list of 2 for 4 samples"):
        run(4, lambda batch: {"lost": [batch[0], batch[1]]})
