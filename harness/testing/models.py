"""Checks of a model: outputs of the right shape, the same every time, for one image or many."""

from __future__ import annotations

from difflib import get_close_matches

from harness.contract.capability import REGISTERED, capabilities, list_capability_members
from harness.contract.declared import ask
from harness.inference.zeroshot import SIMILARITIES
from harness.testing.model_subject import (
    TEXTS,
    ModelSubject,
    draw_odd_images,
    expect_close,
    relative_difference,
)
from harness.testing.verdicts import NotChecked, Violation, expect, must


def check_capabilities(subject: ModelSubject) -> None:
    """The model has a capability that the harness, or a protocol, knows."""
    lacks = ask(subject.plugin, "lacks")
    unknown = [one for one in lacks if one not in REGISTERED and not isinstance(one, type)]
    expect(
        not unknown,
        f"`lacks` to name capabilities ({', '.join(REGISTERED)}, or a protocol)",
        unknown,
        "The capability that was meant stays claimed.",
    )
    late = [c for c in capabilities(subject.model) if c not in subject.abilities]
    expect(
        not late,
        "every capability to show before the model is loaded (a method, a property, or an annotation in the "
        "class, such as `module: torch.nn.Module`)",
        f"'{late[0] if late else ''}' only after load",
        "Planning looks at the light object: cells that need the capability would be skipped.",
    )
    if set(subject.abilities) - {"exposes its module"}:
        return
    from harness.testing.grids import explain_grid_refusals

    if not (reasons := explain_grid_refusals("models", subject.plugin)):
        return
    members = {m for protocol in REGISTERED.values() for m in list_capability_members(protocol)}
    own = [n for n in dir(subject.plugin) if not n.startswith("_") and n not in members]
    close = [f"'{n}' (meant '{near[0]}'?)" for n in own if (near := get_close_matches(n, members, 1, 0.7))]
    raise Violation(
        "the methods of a capability (prepare and classify with label_space, prepare and encode_image, "
        "encode_text), or a protocol that takes the model as it is",
        f"{', '.join(close) or 'no such method'}, and no protocol takes it ({'; '.join(reasons)})",
        "Every cell of it would be skipped: a model's capabilities are known by its methods.",
    )


def check_shapes(subject: ModelSubject) -> None:
    """Prepared images are C×H×W, outputs B×C and B×D, for any number of images."""
    batch = subject.batch
    expect(
        batch.ndim == 4 and batch.shape[1] in (1, 3),
        "prepare(image) to return a tensor C×H×W",
        tuple(batch.shape[1:]),
        "Prepared images are stacked into a batch B×C×H×W.",
    )
    for count in (len(batch), 1):
        for method, output in subject.run_on_images(batch[:count]).items():
            expect(
                output.ndim == 2 and len(output) == count and output.shape[1] > 0,
                f"{method} to return one row per image, {count}×D, for {count} image(s)",
                f"shape {tuple(output.shape)}",
                "Rows belong to samples: another shape ends in wrong or failing metrics.",
            )


def check_dtypes(subject: ModelSubject) -> None:
    """Inputs and outputs are finite floating-point numbers."""
    import torch

    tensors = {}
    if subject.takes_images or "encodes texts" not in subject.abilities:
        tensors = {"prepare": subject.batch, **subject.run_on_images(subject.batch)}
    if "encodes texts" in subject.abilities:
        tensors["encode_text"] = subject.encode_texts(TEXTS)
    for method, tensor in tensors.items():
        expect(
            tensor.dtype in (torch.float32, torch.float16, torch.bfloat16),
            f"{method} to return floating point (float32, or half precision)",
            tensor.dtype,
            "Mixed precision and accelerators do not take integers and float64.",
        )
        finite, why = bool(torch.isfinite(tensor).all()), "A single one makes every metric on it meaningless."
        expect(finite, f"{method} to return finite numbers", "NaN or infinity", why)


def check_deterministic(subject: ModelSubject) -> None:
    """After load the module is in evaluation mode, and the same input has the same output."""
    model = subject.model
    if "exposes its module" in subject.abilities:
        training = [name or "itself" for name, m in model.module.named_modules() if m.training]
        expect(
            not training,
            "the module to be in evaluation mode after load (module.eval())",
            f"training mode in {', '.join(training[:3])}",
            "In training mode dropout draws at random, and batch norm mixes the samples of a batch.",
        )
    first, second = subject.run_on_images(subject.batch), subject.run_on_images(subject.batch)
    for method in first:
        expect(
            bool((first[method] == second[method]).all()),
            f"{method} to return the same for the same images",
            f"a difference of {relative_difference(first[method], second[method]):.2g} between two calls",
            "Published numbers could not be reproduced.",
        )


def check_batch_independence(subject: ModelSubject) -> None:
    """An image has the same outputs alone and in a batch."""
    import torch

    batch = subject.batch
    together = subject.run_on_images(batch)
    alone = [subject.run_on_images(image[None]) for image in batch]
    for method, output in together.items():
        expect_close(
            output,
            torch.cat([one[method] for one in alone]),
            f"{method} to give an image the same row alone and in a batch",
            "The batch size would decide the result; it is halved if memory runs out, and no part of a cell's id.",
        )


def check_odd_images(subject: ModelSubject) -> None:
    """Greyscale, palette, transparent, CMYK, one-pixel and long images become the same kind of input."""
    import torch

    from harness.inference.images import decode

    shape = subject.batch.shape[1:]
    for name, image in draw_odd_images().items():
        for way, given in (("", image), (" (converted to RGB)", decode(image.copy()))):
            expected = f"prepare to take an image {name}{way}"
            with must(expected, "Real data sets hold such files, and one of them would end a run."):
                prepared = subject.model.prepare(given)
            expect(
                prepared.shape == shape and bool(torch.isfinite(prepared).all()),
                f"an image {name}{way} to become finite numbers of shape {tuple(shape)}",
                f"shape {tuple(prepared.shape)}",
                "Prepared images are stacked, so all must have one shape.",
            )


def check_preparation(subject: ModelSubject) -> None:
    """`preparation` describes what `prepare` does."""
    from harness.inference.images import exact_prepare

    subject.require_images()
    stated = ask(subject.model, "preparation")
    if stated is None:
        raise NotChecked("the model states no `preparation`, so it has no fast mode")
    with must("`preparation` to be a harness.Preparation", "The fast mode reads it."):
        prepare = exact_prepare(stated)
    for image in subject.images:
        expect_close(
            subject.model.prepare(image),
            prepare(image),
            f"`preparation` to say what `prepare` does (resize, crop, filter, mean, std) to {image.size}",
            "With --images fast the network would see other images than its authors meant.",
            tolerance=0.02,
        )


def check_texts(subject: ModelSubject) -> None:
    """A text has the same embedding alone and among others, in the space of the images."""
    import math

    import torch

    together = subject.encode_texts(TEXTS)
    expect(
        together.ndim == 2 and len(together) == len(TEXTS),
        f"encode_text to return one row per text, {len(TEXTS)}×D",
        f"shape {tuple(together.shape)}",
        "Rows belong to class names.",
    )
    expect_close(
        together,
        torch.cat([subject.encode_texts([text]) for text in TEXTS]),
        "a text to have the same embedding alone and among others",
        "Padding that reaches the embedding makes the class list's longest name decide the result.",
    )
    if "encodes images" in subject.abilities:
        width = subject.run_on_images(subject.batch)["encode_image"].shape[1]
        expected = f"texts and images to have embeddings of one dimension ({width}, the images')"
        found, why = together.shape[1], "Zero-shot classification compares them."
        expect(found == width, expected, found, why)
    scale = ask(subject.model, "logit_scale")
    expect(
        scale is not None and math.isfinite(float(scale)) and float(scale) > 0,
        "`logit_scale` after load: the factor on cosine similarities, already exponentiated, above 0",
        repr(scale),
        "It decides the calibration of zero-shot classification.",
    )


def check_similarity(subject: ModelSubject) -> None:
    """A model that encodes images and texts compares them in a way that the harness knows."""
    import torch

    subject.require("encodes images", "encodes texts")
    model = subject.model
    if ask(model, "score") is None:
        found = ask(model, "similarity")
        expect(
            found in SIMILARITIES,
            "`similarity` to be 'cosine' or 'dot' (or a method `score` that compares them itself)",
            repr(found),
            "Zero-shot classification compares images and texts by it.",
        )
        return
    # one image and several texts, so that a transposed answer has another shape
    images, texts = subject.run_on_images(subject.batch[:1])["encode_image"], subject.encode_texts(TEXTS)
    with torch.inference_mode():
        scores = model.score(images, texts)
    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
    expect(
        shape == (len(images), len(texts)) and bool(torch.isfinite(scores).all()),
        f"score(image_embeddings, text_embeddings) to return finite logits {len(images)}×{len(texts)}",
        shape,
        "Rows belong to images, columns to texts.",
    )


def check_label_space(subject: ModelSubject) -> None:
    """A classifier says what its outputs are: by a label space, by names, or at least how many there are."""
    subject.require("classifies images")
    space, names, count = (
        ask(subject.plugin, name) for name in ("label_space", "class_names", "num_classes")
    )
    expect(
        (isinstance(space, str) and bool(space)) or bool(names) or bool(count),
        "`label_space` to name what the outputs mean, such as 'imagenet-1k' (or `class_names`, or "
        "`num_classes`)",
        repr(space),
        "A classifier answers only for data sets of its own label space; without the name it is set "
        "against labels that mean something else. (A model that has none lists 'classifies images' in `lacks`.)",
    )
    outputs = subject.run_on_images(subject.batch[:1])["classify"].shape[1]
    expect(
        names is None or (not isinstance(names, str) and all(isinstance(name, str) for name in names)),
        "`class_names` to be a list of texts, one for each output",
        repr(names),
        "A data set's classes are matched to outputs by name.",
    )
    stated = len(names) if names else count
    expected = f"as many `class_names` or `num_classes` as there are outputs, {outputs}"
    expect(
        not stated or stated == outputs,
        expected,
        stated,
        "Planning compares numbers before anything is loaded.",
    )
