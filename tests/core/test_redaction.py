"""Secrets in options never reach a record or a manifest."""

from __future__ import annotations

import pytest

from harness.records.redaction import HIDDEN, redact


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "apikey",
        "openai-api-key",
        "token",
        "hf_token",
        "password",
        "client_secret",
        "key",
        "sig",
        "X-Amz-Signature",
    ],
)
def test_secret_names_are_hidden_at_any_depth(name: str) -> None:
    assert redact({"a": [{"b": {name: "s3cret"}}]}) == {"a": [{"b": {name: HIDDEN}}]}


@pytest.mark.parametrize(
    "name", ["class_token", "token_position", "keys_per_class", "monkey", "author", "key_dim"]
)
def test_names_of_the_field_are_kept(name: str) -> None:
    assert redact({name: "value"}) == {name: "value"}


def test_numbers_and_empty_texts_are_kept() -> None:
    assert redact({"token": 3, "key": ""}) == {"token": 3, "key": ""}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("llm:gpt?api_key=abc&size=2", "llm:gpt?api_key=***&size=2"),
        ("llm:gpt?size=2&token=a%20b", "llm:gpt?size=2&token=***"),
        ("https://me:abc@host/x?class_token=1", "https://***@host/x?class_token=1"),
        ("webdataset:https:/me:abc@host/x.tar", "webdataset:https:/***@host/x.tar"),
        ("C:/me@home/x", "C:/me@home/x"),
        ("https://host/x?X-Amz-Signature=abc&sig=d", "https://host/x?X-Amz-Signature=***&sig=***"),
        ("timm:resnet50?pretrained=false", "timm:resnet50?pretrained=false"),
        ("what is key = value? no idea", "what is key = value? no idea"),
    ],
)
def test_short_references_and_addresses_inside_texts(text: str, shown: str) -> None:
    assert redact({"models": [text]}) == {"models": [shown]}
