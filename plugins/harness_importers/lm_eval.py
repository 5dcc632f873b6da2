"""Results of lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness).

A file `results_DATE.json` of `--output_path`, and with `--log_samples` a file `samples_TASK_DATE.jsonl` per task
beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from harness import ImportedResult, UnreadRow
from harness_importers.evaluation_results import read_results
from harness_importers.json_files import peek_object


class LmEval:
    """Read lm-evaluation-harness's results by task, with the samples that were logged beside them."""

    suffix: ClassVar[str] = ".json"
    example_name: ClassVar[str] = "results_2026-01-26T15-00-37.633186.json"
    # african_nlp_benchmarks/sw_mmlu_0shot_2026-01-26T15-00-37.633186.json of a copy of EleutherAI/lm-evaluation-harness
    # at commit c5339aae26a1b8d12288e0820656005e396bbb1a, one of its tasks
    example: ClassVar[str] = (
        '{"results": {"global_mmlu_sw_business": {"alias": " - global_mmlu_sw_business", "acc,none": '
        '0.27586206896551724, "acc_stderr,none": 0.05919966036406568}}, "group_subtasks": {}, "configs": '
        '{"global_mmlu_sw_business": {"dataset_path": "CohereForAI/Global-MMLU-Lite", "dataset_name": "sw", '
        '"test_split": "test"}}, "versions": {"global_mmlu_sw_business": 0.0}, "n-shot": {"global_mmlu_sw_business": 0}, '
        '"higher_is_better": {"global_mmlu_sw_business": {"acc": true}}, "n-samples": {"global_mmlu_sw_business": '
        '{"original": 58, "effective": 58}}, "config": {"model": "vllm", "model_args": {"pretrained": "google/gemma-2b", '
        '"dtype": "bfloat16"}, "limit": null}, "git_hash": "b97e2b2", "date": 1769439493.1572542, '
        '"lm_eval_version": "0.4.10.dev0", "model_name": "google/gemma-2b"}'
    )

    @staticmethod
    def recognise(file: Path) -> bool:
        """Return whether the file has lm-evaluation-harness's keys, and not those of lmms-eval."""
        found = peek_object(file)
        return {"results", "versions", "config"} <= found.keys() and "lmms_eval_version" not in found

    def read(self, file: Path) -> Iterator[ImportedResult | UnreadRow]:
        """Yield a result per task. Raises DataError, starting with the file's path."""
        return read_results(file, "lm_eval")
