"""Results of lmms-eval (https://github.com/EvolvingLMMs-Lab/lmms-eval).

A file `DATE_results.json` of `--output_path`, and with `--log_samples` a file `DATE_samples_TASK.jsonl` per task
beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from harness import ImportedResult, UnreadRow
from harness_importers.evaluation_results import read_results
from harness_importers.json_files import peek_object


class LmmsEval:
    """Read lmms-eval's results by task, with the samples that were logged beside them."""

    suffix: ClassVar[str] = ".json"
    example_name: ClassVar[str] = "20260923_172512_results.json"
    # jetson/results/orin/Qwen2.5-VL-3B-Instruct/mme/hf-bf16/20260923-112448_limit8/lmms_eval/20260923_172512_results.json
    # of a copy of EvolvingLMMs-Lab/lmms-eval at commit 2d300bab8bc598df0c03555a909804dccc2e0b78, without settings
    example: ClassVar[str] = (
        '{"results": {"mme": {"alias": "mme", "mme_cognition_score,none": 162.5, "mme_cognition_score_stderr,none": "N/A", '
        '"mme_cognition_score_stderr_clt,none": 0.125}}, "group_subtasks": {"mme": []}, "configs": {"mme": {"dataset_path": '
        '"lmms-lab-encoder/MME", "test_split": "test"}}, "versions": {"mme": "Yaml"}, "n-shot": {"mme": 0}, '
        '"higher_is_better": {"mme": {"mme_perception_score": true, "mme_cognition_score": true}}, "n-samples": {"mme": '
        '{"original": 2374, "effective": 8}}, "config": {"model": "qwen2_5_vl", "model_args": "pretrained=/opt/hf-cache/hub/'
        "models--Qwen--Qwen2.5-VL-3B-Instruct/snapshots/66285546d2b821cf421d4f5eb2576359d3770cd3,attn_implementation="
        'flash_attention_2", "limit": 8.0}, "git_hash": "v0.6-239-g14b9c079", "lmms_eval_version": "main@v0.6-239", '
        '"date": "20260923_172512"}'
    )

    @staticmethod
    def recognise(file: Path) -> bool:
        """Return whether the file has lmms-eval's keys."""
        found = peek_object(file)
        return "lmms_eval_version" in found and "results" in found

    def read(self, file: Path) -> Iterator[ImportedResult | UnreadRow]:
        """Yield a result per task. Raises DataError, starting with the file's path."""
        return read_results(file, "lmms_eval")
