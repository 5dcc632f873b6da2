"""Loading of checkpoint files into open_clip's networks, with the library's own conversions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import OptionError
from harness.inference.weights import load_weights, make_unusable_error, read_weights

if TYPE_CHECKING:
    import torch

# Numbers that OpenAI's files store among the weights, and a buffer of old library versions.
_NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")
_OLD_IDS = "text.transformer.embeddings.position_ids"
_POSITIONS = ("visual.positional_embedding", "positional_embedding", "text.positional_embedding")


def is_big_vision(path: Path) -> bool:
    """Return whether a file is a NumPy archive, the format of big_vision (SigLIP), which open_clip converts."""
    return path.suffix == ".npz" and path.is_file()


def load_checkpoint(where: str, path: Path, model: Any, key: str | None) -> list[str]:
    """Load a file's weights into a network; return remarks on their location in it and on changes.

    Raises `Unavailable` for a missing file, `OptionError` for one that doesn't fit.
    """
    place = f"{where}: checkpoint {path}"
    if is_big_vision(path):
        from open_clip.factory import load_checkpoint as load_big_vision

        if key is not None:
            raise OptionError(f"{place} is a NumPy archive of one network: weights_key has nothing to choose")
        try:
            load_big_vision(model, str(path))
        except Exception as error:  # errors of NumPy and of the library
            raise make_unusable_error(where, path, error) from error
        return []
    state = read_weights(where, path, model, key)
    try:
        tensors, remarks = _convert(place, dict(state), model)
    except (RuntimeError, ValueError, KeyError, AssertionError, IndexError) as error:
        text = " ".join(str(error).split())
        raise OptionError(f"{place} does not fit the architecture: {text}") from error
    load_weights(where, path, model, tensors)
    return [*state.remarks, *remarks]


def _convert(
    place: str, state: dict[str, torch.Tensor], model: Any
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Convert weights to the network's names and shapes, as `open_clip.load_checkpoint` does; return remarks too."""
    import torch
    from open_clip.convert import convert_state_dict
    from open_clip.model import (
        convert_to_custom_text_state_dict,
        resize_pos_embed,
        resize_text_pos_embed,
    )

    expected = model.state_dict()
    remarks = []
    state = {n: v for n, v in state.items() if n in expected or n not in (*_NO_WEIGHTS, _OLD_IDS)}
    state = convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):  # a scalar, or a vector of one element
        if name in state and name in expected and state[name].numel() == expected[name].numel() == 1:
            state[name] = state[name].reshape(expected[name].shape)
    if "logit_bias" in state and "logit_bias" not in expected:
        raise OptionError(
            f"{place} has a logit_bias, but the config has no init_logit_bias: add it to the config"
        )
    if "logit_bias" in expected and "logit_bias" not in state:
        state["logit_bias"] = torch.zeros_like(expected["logit_bias"])
        remarks.append("the checkpoint has no logit_bias: 0 is assumed")
    before = {name: state[name].shape for name in _POSITIONS if name in state}
    resize_pos_embed(state, model)
    resize_text_pos_embed(state, model)
    remarks += [
        f"{name} was resized from {shape[0]} to {state[name].shape[0]} positions"
        for name, shape in before.items()
        if state[name].shape != shape
    ]
    return state, remarks
