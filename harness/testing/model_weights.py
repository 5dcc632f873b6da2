"""Checks of a model's weights: the same at every load, saved and restored, moved, and really used."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from harness.inference.features import digest_module
from harness.testing.model_subject import ModelSubject, expect_close, relative_difference
from harness.testing.verdicts import Violation, expect, must

if TYPE_CHECKING:
    import torch

DEVICE_TOLERANCE = 0.02
"""Of the largest output: between a CPU and an accelerator, whose convolutions may use TF32."""


def _module_of(subject: ModelSubject) -> torch.nn.Module:
    import torch

    subject.require("exposes its module")
    module: torch.nn.Module = subject.model.module
    expect(
        isinstance(module, torch.nn.Module) and any(True for _ in module.parameters()),
        "`module` to be a torch module with parameters, after load",
        type(module).__name__,
        "Parameters are counted, fine-tuned and digested through it.",
    )
    return module


def _load_disturbed(subject: ModelSubject) -> Any:
    """Load another copy and change all of its parameters."""
    import torch

    other = subject.load_copy()
    with torch.no_grad():
        for parameter in other.module.parameters():
            parameter.mul_(0.5).add_(0.05)
    return other


def check_load(subject: ModelSubject) -> None:
    """Every load makes the same weights, and leaves torch's settings as they were."""
    import torch

    torch.manual_seed(1)
    before = _read_settings()
    one = subject.load_copy()
    after = _read_settings()
    changed = [name for name in before if before[name] != after[name]]
    expect(
        not changed,
        "load to leave torch's global state as it was (torch.random.fork_rng for random weights)",
        f"it changes the {', '.join(changed)}",
        "What runs after it would depend on whether an earlier cell had loaded the model.",
    )
    if "exposes its module" not in subject.abilities:
        return
    torch.manual_seed(2)
    other = subject.load_copy()
    expect(
        digest_module(one.module) == digest_module(other.module),
        "the same weights at every load (random ones from a fixed seed)",
        "different ones",
        "Cells of one id would have other numbers in each run.",
    )


def _read_settings() -> dict[str, Any]:
    import pickle
    import random

    import numpy as np
    import torch

    return {
        "random generator of torch": torch.get_rng_state().numpy().tobytes(),
        # pickled whole: within a block of 624 numbers, a draw changes only the count of those used up
        "random generator of NumPy": pickle.dumps(np.random.get_state(legacy=False)),  # noqa: NPY002
        "random generator of Python": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "gradient mode": torch.is_grad_enabled(),
        "number of threads": torch.get_num_threads(),
    }


def check_save_and_load(subject: ModelSubject) -> None:
    """The module's state, saved to a file and put into another copy, restores the outputs."""
    import io

    import torch

    module, file = _module_of(subject), io.BytesIO()
    with must("the module's state to be saved and read back", "Checkpoints are made of it."):
        torch.save(module.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
    other = _load_disturbed(subject)
    with must("a fresh copy to take the saved state", "Checkpoints are made of it."):
        other.module.load_state_dict(state)
    subject.require_images()
    restored = subject.run_on_images(subject.batch, other)
    for method, output in subject.run_on_images(subject.batch).items():
        expect_close(
            output,
            restored[method],
            f"{method} to return the same once the module's state is restored in another copy",
            "Something that decides the output is neither a parameter nor a buffer of `module`, so "
            "checkpoints and the cache of embeddings miss it.",
        )


def check_module_is_used(subject: ModelSubject) -> None:
    """The outputs come from the module that the model exposes."""
    _module_of(subject)
    subject.require_images()
    other = _load_disturbed(subject)
    before, after = subject.run_on_images(subject.batch), subject.run_on_images(subject.batch, other)
    expect(
        any(not bool((before[m] == after[m]).all()) for m in before),
        "the outputs to change with the parameters of `module`",
        "the same outputs with other parameters",
        "Fine-tuning and parameter counts would be about a network that is not used.",
    )


def check_devices(subject: ModelSubject) -> None:
    """All of the module moves between devices, and answers there as on the CPU."""
    module = _module_of(subject)
    with must("the module to be copied and moved", "Methods copy the network before they change it."):
        moved = copy.deepcopy(module).to("meta")
    left = [name for name, t in moved.state_dict(keep_vars=True).items() if t.device.type != "meta"]
    expect(
        not left,
        "every tensor of the module to move with module.to(device)",
        f"{', '.join(left[:3])} left behind",
        "On an accelerator the first batch would fail.",
    )
    subject.require_images()
    _forward_on_meta(subject)
    _forward_on_accelerator(subject)


def _forward_on_meta(subject: ModelSubject) -> None:
    """Run on the device that holds no numbers: it shows a tensor left on the CPU without any accelerator."""
    other = subject.load_copy()
    other.module.to("meta")
    batch = subject.batch.to("meta")
    try:
        outputs = subject.run_on_images(batch, other)
    except AssertionError as error:
        cause = " ".join(str(error.__cause__).lower().split())
        if any(text in cause for text in ("same device", "different devices", "expected device")):
            raise Violation(
                "all that takes part in the forward pass to be on the module's device",
                f"a tensor that stays on the CPU: {cause[:160]}",
                "On an accelerator the first batch would fail; register it as a buffer.",
            ) from error
        return  # code that looks at numbers can't run on this device
    for method, output in outputs.items():
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
    with must(f"load to put the model on {device.type}", "Runs use the accelerator if there is one."):
        other.load(device)
    expected = subject.run_on_images(subject.batch)
    for method, output in subject.run_on_images(subject.batch.to(device), other).items():
        difference = relative_difference(expected[method], output.to("cpu", torch.float32))
        expect(
            output.device.type == device.type and difference < DEVICE_TOLERANCE,
            f"{method} to return on {device.type} what it returns on the CPU",
            f"a difference of {difference:.2g} of the largest value, on {output.device}",
            "Results would depend on the machine.",
        )
