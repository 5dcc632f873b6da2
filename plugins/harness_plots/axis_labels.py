"""Words for metrics, costs and coordinates on axes, with their units."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

WORDS = {
    "H": "Harmonic mean of base and new accuracy",
    "mean_per_class": "Mean accuracy per class",
    "nll": "Negative log-likelihood",
    "brier": "Brier score",
    "ece": "Expected calibration error",
    "rms_calibration_error": "RMS calibration error",
    "seconds": "Time (s)",
    "d_loss": "Discriminator's loss",
    "g_loss": "Generator's loss",
    "d_real": "Discriminator's output on real samples",
    "d_fake": "Discriminator's output on generated samples",
    "d_accuracy": "Discriminator's accuracy",
    "d_gradient": "Norm of the discriminator's gradient",
    "g_gradient": "Norm of the generator's gradient",
    "d_from_half": "Distance of the discriminator's outputs from 1/2",
    "d_loss_from_equilibrium": "Discriminator's loss above the equilibrium's",
    "high_quality": "High-quality samples (share)",
    "covered": "Covered modes",
    "reverse_kl": "Reverse KL divergence (nats)",
    "macs": "Multiply-accumulates per image (MACs)",
    "seconds_per_epoch": "Time per epoch (s)",
    "train_loss": "Training loss",
    "trainable_parameters": "Trained parameters",
    "trainable_without_head": "Trained parameters without the head",
}
"""Names that their parts don't explain."""

CAPITALS = {
    "fid": "FID",
    "kid": "KID",
    "iou": "IoU",
    "map": "mAP",
    "auroc": "AUROC",
    "auc": "AUC",
    "f1": "F1",
}


def name_quantity(name: str) -> str:
    """Return a metric, cost, coordinate or tag in words: `tag.dataset.severity` as `Severity`."""
    if name in WORDS:
        return WORDS[name]
    last = name.rpartition(".")[2] if name.startswith("tag.") else name
    if found := re.fullmatch(r"top(\d+)(.*)", last):
        return f"Top-{found[1]} accuracy{found[2].replace('_', ' ')}"
    if found := re.fullmatch(r"(epochs|images|seconds)_to\.(.+)", last):
        return f"{found[1].capitalize()} to {found[2]}"
    if found := re.fullmatch(r"at_(0\.\d+)", last):
        return f"Modes with {float(found[1]):.0%} of an even share"
    unit = ""
    if last.endswith("_seconds"):
        last, unit = f"{last.removesuffix('_seconds')} time", " (s)"
    elif last.endswith(("_bytes", "_memory")):
        last, unit = last.removesuffix("_bytes"), " (bytes)"
    words = [CAPITALS.get(w, w) for w in last.replace("_", " ").split()] or [name]
    first = words[0] if words[0] in CAPITALS.values() else words[0][:1].upper() + words[0][1:]
    return " ".join([first, *words[1:]]) + unit


def inside_sentence(words: str) -> str:
    """Return words with a small first letter, unless they begin with an abbreviation."""
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]


def choose_scale(data: pd.DataFrame, metric: str) -> tuple[float, str]:
    """Return the factor and the axis label of a metric: fractions are shown in percent."""
    fraction = metric in data.attrs.get("fractions", ())
    return (100.0, f"{name_quantity(metric)} (%)") if fraction else (1.0, name_quantity(metric))
