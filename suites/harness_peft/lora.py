"""LoRA, DoRA and (IA)³ through peft on plain Linear layers, and CLIP-LoRA on split attention."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from harness import OptionError
from harness_peft.contract import LearnsFromDraws

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from harness_peft.adapted_network import AdaptedNetwork

Target = Literal["q", "k", "v", "qkv", "proj", "fc1", "fc2"]
_NAMES = {"proj": ("proj", "out"), "fc1": ("fc1", "c_fc"), "fc2": ("fc2", "c_proj")}
_SPLIT = {"q", "k", "v"}


def find_target_layers(blocks: Iterable[nn.Module], targets: list[Target]) -> list[nn.Module]:
    """Return the Linear layers of these blocks with the given names, splitting attention if needed.

    `qkv` is a fused projection as one layer; q, k, v are its parts. Layers outside blocks (the patch
    embedding's `proj`, say) are never matched. Raises OptionError for a layer that a block lacks.
    """
    from torch import nn

    from harness_peft.split_attention import split_attention

    found: list[nn.Module] = []
    for block in blocks:
        attention, parts = block.attn, None
        # nn.MultiheadAttention calls no submodule for its projections, so any target inside needs the split
        if _SPLIT & set(targets) or (
            isinstance(attention, nn.MultiheadAttention) and {"qkv", "proj"} & set(targets)
        ):
            parts, _ = split_attention(block)
        for target in targets:
            if target in _SPLIT:
                layers = [getattr(parts, target)]
            elif target == "qkv" and parts is not None:
                layers = [parts.q, parts.k, parts.v]
            elif target == "qkv":
                layers = [getattr(attention, "qkv", None)]
            else:
                holder = block.attn if target == "proj" else block.mlp
                layers = [next((getattr(holder, n) for n in _NAMES[target] if hasattr(holder, n)), None)]
            if not all(isinstance(layer, nn.Linear) for layer in layers):
                raise OptionError(f"target '{target}': {type(block).__name__} has no such Linear layer")
            found += layers
    return found


def inject_layers(
    network: AdaptedNetwork, layers: list[nn.Module], config: Any, inputs: list[nn.Module] | None = None
) -> None:
    """Replace these layers by peft's; parameters that were trainable stay trainable.

    (IA)³ scales the input, not the output, of the layers that are also in `inputs`.
    """
    import warnings

    from peft import inject_adapter_in_model

    places = {id(m): name for name, m in network.named_modules()}
    names = [places[id(layer)] for layer in layers]
    config.target_modules = "|".join(re.escape(n) for n in names)
    if inputs is not None:
        # peft matches sets by suffix, strings as whole patterns; (?!) matches nothing
        config.feedforward_modules = "|".join(re.escape(places[id(layer)]) for layer in inputs) or "(?!)"
    thawed = [p for p in network.parameters() if p.requires_grad]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inject_adapter_in_model(config, network)
    for parameter in thawed:
        parameter.requires_grad_(True)


def merge_layers(network: AdaptedNetwork) -> None:
    """Fold every peft layer into the layer that it wraps, and fuse split attention again."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    from harness_peft.split_attention import SplitQKV

    for name, module in list(network.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            network.set_submodule(name, module.get_base_layer())
    for name, module in list(network.named_modules()):
        if isinstance(module, SplitQKV):
            network.set_submodule(name, module.fuse())


class LoRA(LearnsFromDraws):
    """W + s·B·A on chosen layers, s = α/r, or α/√r with `rslora` (Hu et al. 2022; Kalajdzievski 2023).

    Through peft.

    Args:
        rank: r, the rank of B·A.
        alpha: α, which scales the update; by default r.
        targets: layers of each block: q, k, v split a fused projection (r·2d each); `qkv` takes it as one
            layer (r·4d, A shared); proj, fc1, fc2; by default q and v.
        dropout: probability of dropout on the input of A, in [0, 1).
        rslora: s = α/√r in place of α/r.
    """

    rates = (1e-3, 3e-3, 1e-2)
    _more: dict[str, Any] = {}  # noqa: RUF012 - constant

    def __init__(
        self,
        rank: int = 8,
        alpha: float | None = None,
        targets: list[Target] | None = None,
        dropout: float = 0.0,
        rslora: bool = False,
    ) -> None:
        if rank < 1:
            raise OptionError(f"lora: rank must be at least 1, not {rank}")
        if not 0 <= dropout < 1:
            raise OptionError(f"lora: dropout must be in [0, 1), not {dropout}")
        self.rank, self.alpha = rank, float(rank) if alpha is None else alpha
        self.targets: list[Target] = targets or ["q", "v"]
        self.dropout, self.rslora = dropout, rslora

    def prepare(self, network: AdaptedNetwork) -> None:
        """Add A (Kaiming uniform) and B (zero) to each target."""
        inject_layers(network, find_target_layers(network.blocks(), self.targets), self._config())

    def merge(self, network: AdaptedNetwork) -> None:
        """Replace W by W + s·B·A."""
        merge_layers(network)

    def _config(self) -> Any:
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # a float works: peft only divides it
            lora_dropout=self.dropout,
            use_rslora=self.rslora,
            bias="none",
            **self._more,
        )


class DoRA(LoRA):
    """LoRA on the direction of each weight, with a learned magnitude per output (Liu et al. 2024)."""

    _more = {"use_dora": True}  # noqa: RUF012 - constant


class IA3(LearnsFromDraws):
    """(IA)³: factors, initially 1, on keys, values and the input of fc2 (Liu et al. 2022). No weight decay."""

    rates = (3e-3, 1e-2, 3e-2)
    weight_decay = 0.0

    def prepare(self, network: AdaptedNetwork) -> None:
        """Split attention, so that queries stay unscaled, and add the factors."""
        from peft import IA3Config

        blocks = network.blocks()
        inputs = find_target_layers(blocks, ["fc2"])
        inject_layers(network, [*find_target_layers(blocks, ["k", "v"]), *inputs], IA3Config(), inputs)

    def merge(self, network: AdaptedNetwork) -> None:
        """Multiply the factors into weights and biases."""
        merge_layers(network)


class ClipLoRA(LoRA):
    """CLIP-LoRA: low-rank q, k, v in every layer of both towers, s = α/√r (Zanella and Ben Ayed 2024).

    The text embeddings of one prompt are recomputed at each step; the head has no parameters of its own.

    Args:
        alpha: α, which scales the update by α/√r.
        targets: as for `lora`; by default q, k and v.
        towers: which of the two towers get B·A.
    """

    needs_clip = True
    rates = (1e-4, 2e-4, 1e-3)
    weight_decay = 0.01

    def __init__(
        self,
        rank: int = 2,
        alpha: float = 1.0,
        targets: list[Target] | None = None,
        dropout: float = 0.25,
        towers: Literal["both", "image", "text"] = "both",
    ) -> None:
        super().__init__(rank, alpha, targets or ["q", "k", "v"], dropout, rslora=True)
        self.towers = towers

    def prepare(self, network: AdaptedNetwork) -> None:
        """Split `nn.MultiheadAttention` in the chosen towers and add A and B."""
        text = network.attach_text_tower()
        blocks = [] if self.towers == "text" else network.blocks()
        if self.towers != "image":
            tower: Any = text if hasattr(text, "resblocks") else text.transformer
            blocks = [*blocks, *tower.resblocks]
        inject_layers(network, find_target_layers(blocks, self.targets), self._config())
