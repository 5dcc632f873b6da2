"""The classifier of a zero-shot model: its texts are encoded once for all cells that need the same ones."""

from __future__ import annotations

import harness
from harness_embedded.tiny_models import TinyCLIP

DIGITS = {"plugin": "digits", "label": "clean"}
SUITE = {
    "name": "texts",
    "protocol": "classification",
    "models": [{"plugin": "tiny-clip", "steps": 0}],
    "datasets": [DIGITS, {"plugin": "corrupted", "label": "fog", "corruption": "fog", "dataset": DIGITS}],
    "metrics": ["top1", "nll"],
}


def test_texts_are_encoded_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    calls = []
    encode = TinyCLIP.encode_text
    monkeypatch.setattr(
        TinyCLIP, "encode_text", lambda self, texts: calls.append(texts) or encode(self, texts)
    )

    def run(name, protocol="classification", seed=0):
        suite = SUITE | {"protocol": protocol, "models": [{"plugin": "tiny-clip", "steps": 0, "seed": seed}]}
        outcome = harness.run(suite, store=tmp_path / name, device="cpu", limit=16)
        return [record.metrics for record in outcome.records]

    first = run("a")
    assert len(calls) == 1
    assert run("b") == first
    assert len(calls) == 1
    other = run("c", {"plugin": "classification", "templates": ["{}"]})  # other texts
    assert [list(texts) for texts in calls[1:]] == [
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    ]
    assert other != first
    run("d", seed=1)  # other weights
    assert len(calls) == 3
