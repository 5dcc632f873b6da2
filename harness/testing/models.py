"""What is expected of a model: outputs of the right shape, the same every time, for one image or many."""

from __future__ import annotations

from harness.contract.capability import REGISTERED, capabilities, members_of
from harness.contract.declared import ask
from harness.errors import nearest
from harness.inference.zeroshot import SIMILARITIES
from harness.testing import general, tokens, weights
from harness.testing.images import odd_images
from harness.testing.model_subject import TEXTS, ModelSubject, expect_alike, gap
from harness.testing.outcome import Check, NotChecked, Violation, expect, must


def check_capabilities(subject: ModelSubject) -> None:
    """The model can do something that the harness, or a protocol, knows."""
    lacks = ask(subject.plugin, "lacks")
    unknown = [one for one in lacks if one not in REGISTERED and not isinstance(one, type)]
    expect(
        not unknown,
        f"`lacks` to name capabilities ({', '.join(REGISTERED)}, or a protocol)",
        f"{unknown}",
        "A capability that is taken back under another name stays claimed.",
    )
    late = [c for c in capabilities(subject.model) if c not in subject.able]
    expect(
        not late,
        "what the model can do to be seen before it is loaded (a method, a property, or an annotation in the "
        "class, such as `module: torch.nn.Module`)",
        f"'{late[0] if late else ''}' only after load",
        "Planning asks the light object: cells that need it would be skipped.",
    )
    if set(subject.able) - {"exposes its module"}:
        return
    from harness.testing.cells import refusals

    if not (said := refusals("models", subject.plugin)):
        return
    members = {m for protocol in REGISTERED.values() for m in members_of(protocol)}
    near = {n: nearest(n, members) for n in dir(subject.plugin) if not n.startswith("_") and n not in members}
    close = [f"'{name}' (meant '{other}'?)" for name, other in near.items() if other and _alike(name, other)]
    raise Violation(
        "the methods of a capability (prepare and classify with label_space, prepare and encode_image, "
        "encode_text), or a protocol that takes the model as it is",
        f"{', '.join(close) or 'no such method'}, and no protocol takes it ({'; '.join(said)})",
        "Every cell of it would be skipped: what a model can do is told by the methods it has.",
    )


def _alike(name: str, other: str) -> bool:
    from difflib import SequenceMatcher

    return SequenceMatcher(None, name, other).ratio() > 0.7


def check_shapes(subject: ModelSubject) -> None:
    """Prepared images are C×H×W, outputs B×C and B×D, for any number of images."""
    batch = subject.batch
    expect(
        batch.ndim == 4 and batch.shape[1] in (1, 3),
        "prepare(image) to give a tensor C×H×W",
        f"{tuple(batch.shape[1:])}",
        "Prepared images are stacked into a batch B×C×H×W.",
    )
    for count in (len(batch), 1):
        for method, output in subject.seen(batch[:count]).items():
            expect(
                output.ndim == 2 and len(output) == count and output.shape[1] > 0,
                f"{method} to give one row per image, {count}×D, for {count} image(s)",
                f"shape {tuple(output.shape)}",
                "Rows belong to samples: another shape ends in wrong or failing metrics.",
            )


def check_dtypes(subject: ModelSubject) -> None:
    """Inputs and outputs are finite numbers in floating point."""
    import torch

    named = {}
    if subject.sees_images or "encodes texts" not in subject.able:
        named = {"prepare": subject.batch, **subject.seen(subject.batch)}
    if "encodes texts" in subject.able:
        named["encode_text"] = subject.read(TEXTS)
    for method, tensor in named.items():
        expect(
            tensor.dtype in (torch.float32, torch.float16, torch.bfloat16),
            f"{method} to give floating point (float32, or half precision)",
            str(tensor.dtype),
            "Integers and float64 do not go through mixed precision and accelerators.",
        )
        expect(
            bool(torch.isfinite(tensor).all()),
            f"{method} to give finite numbers",
            "NaN or infinity",
            "A single one makes every metric on it meaningless.",
        )


def check_deterministic(subject: ModelSubject) -> None:
    """In evaluation mode the same input gives the same output."""
    model = subject.model
    if "exposes its module" in subject.able:
        training = [name or "itself" for name, m in model.module.named_modules() if m.training]
        expect(
            not training,
            "the module to be in evaluation mode after load (module.eval())",
            f"training mode in {', '.join(training[:3])}",
            "In training mode dropout draws at random, and batch norm mixes the samples of a batch.",
        )
    first, second = subject.seen(subject.batch), subject.seen(subject.batch)
    for method in first:
        expect(
            bool((first[method] == second[method]).all()),
            f"{method} to give the same for the same images",
            f"a difference of {gap(first[method], second[method]):.2g} between two calls",
            "Published numbers could not be had again.",
        )


def check_batch_independence(subject: ModelSubject) -> None:
    """Images one by one give what they give together, whatever stands beside them."""
    import torch

    batch = subject.batch
    together = subject.seen(batch)
    alone = [subject.seen(batch[n : n + 1]) for n in range(len(batch))]
    for method, output in together.items():
        single = torch.cat([a[method] for a in alone])
        expect_alike(
            output,
            single,
            f"{method} to give an image the same row alone and in a batch",
            "The batch size would decide the result; it is halved where memory ends, and no part of a cell's id.",
        )


def check_odd_images(subject: ModelSubject) -> None:
    """Greyscale, palette, transparency, CMYK, one pixel, very long: all become the same kind of input."""
    import torch

    from harness.inference.images import decode

    shape = subject.batch.shape[1:]
    for name, image in odd_images().items():
        for way, given in (("", image), (" (converted to RGB)", decode(image.copy()))):
            with must(
                f"prepare to take an image {name}{way}",
                "Real data sets hold such files, and one of them would end a run.",
            ):
                prepared = subject.model.prepare(given)
            expect(
                prepared.shape == shape and bool(torch.isfinite(prepared).all()),
                f"an image {name}{way} to become finite numbers of shape {tuple(shape)}",
                f"shape {tuple(prepared.shape)}",
                "Prepared images are stacked, so all must be of one shape.",
            )


def check_preparation(subject: ModelSubject) -> None:
    """The preparation told as data is the one that `prepare` makes."""
    from harness.inference.images import exact_prepare

    subject.needs_images()
    stated = ask(subject.model, "preparation")
    if stated is None:
        raise NotChecked("the model does not tell its preparation as data, so there is no fast mode for it")
    with must("`preparation` to be a harness.Preparation", "The fast mode reads it."):
        prepare = exact_prepare(stated)
    for image in subject.images:
        difference = gap(subject.model.prepare(image), prepare(image))
        expect(
            difference < 0.02,
            "`preparation` to say what `prepare` does (resize, crop, interpolation, mean, std)",
            f"a difference of {difference:.2g} of the largest value on an image of {image.size}",
            "With --images fast the network would see other images than its authors meant.",
        )


def check_texts(subject: ModelSubject) -> None:
    """Texts one by one give what they give together, in the space of the images."""
    import math

    import torch

    together = subject.read(TEXTS)
    expect(
        together.ndim == 2 and len(together) == len(TEXTS),
        f"encode_text to give one row per text, {len(TEXTS)}×D",
        f"shape {tuple(together.shape)}",
        "Rows belong to class names.",
    )
    single = torch.cat([subject.read([text]) for text in TEXTS])
    expect_alike(
        together,
        single,
        "a text to have the same embedding alone and among others",
        "Padding that reaches the embedding makes the class list's longest name decide the result.",
    )
    if "encodes images" in subject.able:
        images = subject.seen(subject.batch)["encode_image"]
        expect(
            images.shape[1] == together.shape[1],
            f"texts and images to have embeddings of one dimension ({images.shape[1]}, the images')",
            f"{together.shape[1]}",
            "Zero-shot classification compares them.",
        )
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

    if not {"encodes images", "encodes texts"} <= {*subject.able}:
        raise NotChecked("the model does not encode both images and texts")
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
    # one image and several texts, so that a turned answer has another shape
    images, texts = subject.seen(subject.batch[:1])["encode_image"], subject.read(TEXTS)
    with torch.inference_mode():
        scores = model.score(images, texts)
    expect(
        isinstance(scores, torch.Tensor)
        and scores.shape == (len(images), len(texts))
        and bool(torch.isfinite(scores).all()),
        f"score(image_embeddings, text_embeddings) to give finite logits {len(images)}×{len(texts)}",
        f"{tuple(scores.shape)}" if isinstance(scores, torch.Tensor) else type(scores).__name__,
        "Rows belong to images, columns to texts.",
    )


def check_label_space(subject: ModelSubject) -> None:
    """A classifier says what its outputs are: by a label space, by names, or at least how many there are."""
    if "classifies images" not in subject.able:
        raise NotChecked("the model does not classify")
    space, names, count = (
        ask(subject.plugin, name) for name in ("label_space", "class_names", "num_classes")
    )
    expect(
        (isinstance(space, str) and bool(space)) or bool(names) or bool(count),
        "`label_space` to name what the outputs stand for, such as 'imagenet-1k' (or `class_names`, or "
        "`num_classes`)",
        repr(space),
        "A classifier answers only for data sets of its own label space; without the name it is set "
        "against labels that mean something else. (A model that has none lists 'classifies images' in `lacks`.)",
    )
    outputs = subject.seen(subject.batch[:1])["classify"].shape[1]
    if names is not None:
        expect(
            not isinstance(names, str) and all(isinstance(name, str) for name in names),
            "`class_names` to be a list of texts, one for each output",
            repr(names),
            "Outputs are found for a data set's classes by their names.",
        )
    said = len(names) if names else count
    expect(
        not said or said == outputs,
        f"as many `class_names` or `num_classes` as there are outputs, {outputs}",
        str(said),
        "Numbers are compared at planning, before anything is loaded.",
    )


CHECKS: tuple[Check, ...] = (
    *general.CHECKS,
    check_capabilities,
    check_shapes,
    check_dtypes,
    check_deterministic,
    check_batch_independence,
    check_odd_images,
    check_preparation,
    check_texts,
    check_similarity,
    check_label_space,
    *tokens.CHECKS,
    *weights.CHECKS,
)
