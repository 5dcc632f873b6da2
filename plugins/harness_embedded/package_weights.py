"""Train the tiny models that the embedded suites use, and write their packaged weights.

Run `python -m harness_embedded.package_weights` after a change of a recipe (some minutes on two cores); the
last bits of the weights depend on the processor and on torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_embedded.packaged_weights import FOLDER, find_changes
from harness_embedded.tiny_mllm import TinyMLLM
from harness_embedded.tiny_models import TinyCLIP, TinyResNet, TinyViT

if TYPE_CHECKING:
    from torch import Tensor

    from harness_embedded.tiny_mllm import TinyMLLM
from harness_embedded.tiny_models import TinyModel


def list_packaged() -> list[TinyModel]:
    """Return the models whose weights the package contains."""
    return [
        TinyResNet(),
        TinyResNet(steps=120),
        TinyResNet(width=8),
        TinyResNet("digits"),
        TinyViT(),
        TinyViT(steps=250),
        TinyViT("digits"),
        TinyCLIP(),
        TinyCLIP("vit", steps=400),
        TinyCLIP("vit", steps=50),
        TinyMLLM(),
        TinyMLLM(seed=1),
        TinyMLLM(seed=2),
        TinyMLLM(carry="none"),
    ]


def train_changes(model: TinyModel) -> dict[str, Tensor]:
    """Train a model anew and return what that changes of its seeded initial weights."""
    from harness.running.devices import one_thread
    from harness_embedded.pretraining import seed_pretraining

    with seed_pretraining(model.seed), one_thread():
        module = model.build()
        initial = {name: value.clone() for name, value in module.state_dict().items()}
        model.train(module)
    return find_changes(initial, module.state_dict())


def main() -> None:
    """Train every packaged model and write its file; other files in the folder are removed."""
    from safetensors.torch import save_file

    FOLDER.mkdir(exist_ok=True)
    written = set()
    for model in list_packaged():
        path = model.packaged_file
        save_file(train_changes(model), path)
        written.add(path)
        print(f"{path.name}: {path.stat().st_size:,} bytes", flush=True)
    for old in set(FOLDER.glob("*.safetensors")) - written:
        old.unlink()


if __name__ == "__main__":
    main()
