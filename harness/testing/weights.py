"""What is expected of a model's weights: the same at every load, saved and restored, moved, and really used."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from harness.inference.features import digest_module
from harness.testing.model_subject import ModelSubject, expect_alike, gap
from harness.testing.outcome import Check, NotChecked, expect, must

if TYPE_CHECKING:
    import torch

DEVICE_TOLERANCE = 0.02
"""Of the largest output: between a CPU and an accelerator, whose convolutions may use TF32."""


def _module(subject: ModelSubject) -> torch.nn.Module:
    import torch

    if "exposes its module" not in subject.able:
        raise NotChecked("the model exposes no module")
    module = subject.model.module
    expect(
        isinstance(module, torch.nn.Module) and any(True for _ in module.parameters()),
        "`module` to be a torch module with parameters, after load",
        type(module).__name__,
        "Parameters are counted, fine-tuned and digested through it.",
    )
    return subject.model.module  # type: ignore[no-any-return]


def check_load(subject: ModelSubject) -> None:
    """Loading gives the same weights each time, and leaves torch's settings as they were."""
    import torch

    torch.manual_seed(1)
    before = _settings()
    one = subject.fresh()
    after = _settings()
    changed = [name for name in before if before[name] != after[name]]
    expect(
        not changed,
        "load to leave torch's global state as it was (torch.random.fork_rng for random weights)",
        f"it changes the {', '.join(changed)}",
        "What runs after it would depend on whether the model had been loaded for an earlier cell.",
    )
    if "exposes its module" not in subject.able:
        return
    torch.manual_seed(2)
    other = subject.fresh()
    expect(
        digest_module(one.module) == digest_module(other.module),
        "the same weights at every load (random ones from a seed of their own)",
        "different ones",
        "The cell's id says that the model is the same, and its numbers would not be.",
    )


def _settings() -> dict[str, Any]:
    import random

    import numpy as np
    import torch

    return {
        "random generator of torch": torch.get_rng_state().numpy().tobytes(),
        "random generator of NumPy": _exact(np.random.get_state(legacy=False)),  # noqa: NPY002
        "random generator of Python": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "gradient mode": torch.is_grad_enabled(),
        "number of threads": torch.get_num_threads(),
    }


def _exact(state: Any) -> Any:
    """A generator's state in a form that compares whole: beside its numbers, how many of them are used up."""
    if isinstance(state, dict):
        return {name: _exact(part) for name, part in state.items()}
    return state.tolist() if hasattr(state, "tolist") else state


def check_save_and_load(subject: ModelSubject) -> None:
    """The module's state, saved to a file and put into another copy, gives the same outputs."""
    import io

    import torch

    module = _module(subject)
    kept = io.BytesIO()
    with must("the module's state to be saved and read back", "Checkpoints are made of it."):
        torch.save(module.state_dict(), kept)
        kept.seek(0)
        state = torch.load(kept, weights_only=True)
    other = subject.fresh()
    with torch.no_grad():
        for parameter in other.module.parameters():
            parameter.add_(0.1)
    with must("a fresh copy to take the saved state", "Checkpoints are made of it."):
        other.module.load_state_dict(state)
    subject.needs_images()
    for method, output in subject.seen(subject.batch).items():
        restored = subject.seen(subject.batch, other)[method]
        expect_alike(
            output,
            restored,
            f"{method} to give the same once the module's state is restored in another copy",
            "Something that decides the output is neither a parameter nor a buffer of `module`, so "
            "checkpoints and the cache of embeddings miss it.",
        )


def check_module_is_used(subject: ModelSubject) -> None:
    """The outputs come from the module that the model exposes."""
    import torch

    _module(subject)
    subject.needs_images()
    other = subject.fresh()
    with torch.no_grad():
        for parameter in other.module.parameters():
            parameter.mul_(0.5).add_(0.05)
    before, after = subject.seen(subject.batch), subject.seen(subject.batch, other)
    expect(
        any(not bool((before[m] == after[m]).all()) for m in before),
        "the outputs to change with the parameters of `module`",
        "the same outputs with other parameters",
        "Fine-tuning and parameter counts would be about a network that is not used.",
    )


def check_devices(subject: ModelSubject) -> None:
    """All of the module moves between devices, and answers there as on the CPU."""
    module = _module(subject)
    with must("the module to be copied and moved", "Methods copy the network before they change it."):
        moved = copy.deepcopy(module).to("meta")
    left = [name for name, t in moved.state_dict(keep_vars=True).items() if t.device.type != "meta"]
    expect(
        not left,
        "every tensor of the module to move with module.to(device)",
        f"{', '.join(left[:3])} left behind",
        "On an accelerator the first batch would fail.",
    )
    subject.needs_images()
    _forward_on_meta(subject)
    _forward_on_accelerator(subject)


def _forward_on_meta(subject: ModelSubject) -> None:
    """On the device that holds no numbers a tensor left on the CPU shows, without any accelerator."""
    other = subject.fresh()
    other.module.to("meta")
    batch = subject.batch.to("meta")
    try:
        answers = subject.seen(batch, other)
    except AssertionError as error:
        cause = str(error.__cause__).lower()
        if any(text in cause for text in ("same device", "different devices", "expected device")):
            expect(
                False,
                "all that takes part in the forward pass to be on the module's device",
                f"a tensor that stays on the CPU: {' '.join(cause.split())[:160]}",
                "On an accelerator the first batch would fail; register it as a buffer.",
            )
        return  # what looks at numbers can't run on this device
    for method, output in answers.items():
        expect(
            output.device.type == "meta",
            f"{method} to answer on the device of its input",
            f"an answer on {output.device.type}",
            "What follows would be computed on another device, or fail.",
        )


def _forward_on_accelerator(subject: ModelSubject) -> None:
    import torch

    from harness.running.devices import pick_device

    device = pick_device("auto")
    if device.type == "cpu":
        return
    other = copy.deepcopy(subject.plugin)
    with must(f"load to put the model on {device.type}", "Runs use the accelerator where there is one."):
        other.load(device)
    batch = subject.batch.to(device)
    for method, output in subject.seen(batch, other).items():
        there = output.to("cpu", torch.float32)
        difference = gap(subject.seen(subject.batch)[method], there)
        expect(
            output.device.type == device.type and difference < DEVICE_TOLERANCE,
            f"{method} to give on {device.type} what it gives on the CPU",
            f"a difference of {difference:.2g} of the largest value, on {output.device}",
            "Results would depend on the machine.",
        )


CHECKS: tuple[Check, ...] = (
    check_load,
    check_save_and_load,
    check_module_is_used,
    check_devices,
)
