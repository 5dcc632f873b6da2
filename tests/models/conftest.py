"""Tiny models of transformers that speak, made on the spot: configuration, random weights, a tokenizer of bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

LARGEST = 480 * 1024
"""Bytes of a tiny model's weights."""

END, PAD = "<end>", "<pad>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
IMAGE_TOKENS = {
    "llava": ("<image>",),
    "qwen2-vl": ("<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"),
    "idefics3": ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
    "gemma3": ("<start_of_image>", "<end_of_image>", "<image_soft_token>"),
    "text": (),
}
WORDS = (
    "what is this? a red circle or a blue square? answer: yes no A B look. which differs? say in one letter "
    * 4
)


def write_template(image: str) -> str:
    """A chat template that keeps the order of parts, or, without an image token, of texts."""
    parts = (
        "{% for p in m['content'] %}{% if p['type'] == 'image' %}"
        + image
        + "{% else %}{{ p['text'] }}{% endif %}"
        "{% endfor %}"
        if image
        else "{{ m['content'] }}"
    )
    return (
        "{% for m in messages %}<|{{ m['role'] }}|>" + parts + "<end>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )


def make_tokenizer(images: tuple[str, ...]) -> Any:
    """A byte-level BPE with some merges, trained here; a template with one more special token per kind of turn."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=310, special_tokens=[PAD, END, *ROLES, *images], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    own.train_from_iterator([WORDS], trainer)
    named = (
        {"image_token": "<image_soft_token>", "boi_token": images[0], "eoi_token": images[1]}
        if "<image_soft_token>" in images
        else {}
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token=PAD, eos_token=END, additional_special_tokens=[*ROLES, *images],
        extra_special_tokens=named or None,
    )  # fmt: skip


TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 512,
}  # fmt: skip
SIGHT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip


def make_llava(tokenizer: Any, ids: dict[str, int], common: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**SIGHT, projection_dim=32), text_config=t.LlamaConfig(**TEXT, **common),
        image_token_id=ids["<image>"], vision_feature_layer=-1,
    )  # fmt: skip
    side = {"height": 32, "width": 32}
    processor = t.LlavaProcessor(
        t.CLIPImageProcessor(size=side, crop_size=side), tokenizer, patch_size=8, num_additional_image_tokens=1,
        vision_feature_select_strategy="default", chat_template=write_template("<image>"),
    )  # fmt: skip
    return processor, t.LlavaForConditionalGeneration(config)


def make_qwen(tokenizer: Any, ids: dict[str, int], common: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.Qwen2VLConfig(
        text_config={
            **TEXT, **common,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4},
        },
        vision_config={
            "depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 8,
            "spatial_merge_size": 2,
        },
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
    )  # fmt: skip
    sizes = {"patch_size": 8, "merge_size": 2, "min_pixels": 16 * 16, "max_pixels": 64 * 64}
    processor = t.Qwen2VLProcessor(
        t.Qwen2VLImageProcessor(**sizes), tokenizer, t.Qwen2VLVideoProcessor(**sizes),
        chat_template=write_template("<|vision_start|><|image_pad|><|vision_end|>"),
    )  # fmt: skip
    return processor, t.Qwen2VLForConditionalGeneration(config)


def make_idefics(tokenizer: Any, ids: dict[str, int], common: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.Idefics3Config(
        text_config=t.LlamaConfig(**TEXT, **common), vision_config=SIGHT, image_token_id=ids["<image>"],
        scale_factor=2, pad_token_id=common["pad_token_id"],
    )  # fmt: skip
    images = t.Idefics3ImageProcessor(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}, do_image_splitting=True
    )
    processor = t.Idefics3Processor(
        images, tokenizer, image_seq_len=4, chat_template=write_template("<image>")
    )
    return processor, t.Idefics3ForConditionalGeneration(config)


def make_gemma(tokenizer: Any, ids: dict[str, int], common: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.Gemma3Config(
        text_config=t.Gemma3TextConfig(**TEXT, **common, sliding_window=16, layer_types=["sliding_attention", "full_attention"]),
        vision_config=t.SiglipVisionConfig(**SIGHT), mm_tokens_per_image=4, image_token_id=ids["<image_soft_token>"],
        boi_token_id=ids["<start_of_image>"], eoi_token_id=ids["<end_of_image>"],
    )  # fmt: skip
    processor = t.Gemma3Processor(
        t.Gemma3ImageProcessor(size={"height": 32, "width": 32}), tokenizer, image_seq_length=4,
        chat_template=write_template("<start_of_image>"),
    )  # fmt: skip
    return processor, t.Gemma3ForConditionalGeneration(config)


def make_text(tokenizer: Any, ids: dict[str, int], common: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    tokenizer.chat_template = write_template("")
    return tokenizer, t.LlamaForCausalLM(t.LlamaConfig(**TEXT, **common))


MAKERS = {
    "llava": make_llava,
    "qwen2-vl": make_qwen,
    "idefics3": make_idefics,
    "gemma3": make_gemma,
    "text": make_text,
}


def save_speaker(kind: str, folder: Path, shaken: bool) -> Path:
    """Save a tiny model; `shaken` makes weights that training would have moved (some start at zero) count."""
    tokenizer = make_tokenizer(IMAGE_TOKENS[kind])
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in (PAD, END, *IMAGE_TOKENS[kind])}
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": ids[PAD],
        "eos_token_id": ids[END],
        "bos_token_id": ids[END],
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(hashlib.sha256(kind.encode()).hexdigest()[:8], 16))
        processor, network = MAKERS[kind](tokenizer, ids, common)
        with torch.no_grad():
            for value in network.parameters():
                value.add_(0.15 * torch.randn_like(value) * shaken)
    processor.save_pretrained(folder)
    network.save_pretrained(folder)
    assert (folder / "model.safetensors").stat().st_size <= LARGEST
    return folder


@pytest.fixture(scope="session")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function from a kind of tiny model to its folder, made once."""
    made: dict[tuple[str, bool], Path] = {}

    def get(kind: str, shaken: bool = True) -> Path:
        if (kind, shaken) not in made:
            made[kind, shaken] = save_speaker(kind, tmp_path_factory.mktemp(kind), shaken)
        return made[kind, shaken]

    return get
