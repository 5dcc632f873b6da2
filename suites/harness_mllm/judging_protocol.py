"""The protocol `judging`: a model answers questions, and another model judges its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from harness import Dataset, Job, Result, has
from harness.contract.capability import explain_missing_capability
from harness.inference.splits import find_test_split
from harness_language.contracts import AnswersConversations
from harness_metrics.answers import Answered
from harness_mllm.judged import Judged
from harness_mllm.judging_options import JudgingOptions
from harness_mllm.probe_names import PROBE_NAMES, SHOT_PROBES

SHARES = (
    "wins", "losses", "ties", "unreadable", "forfeits", "orders_agree", "first_preferred", "longer_wins",
    "hallucination", "supported", "not_visible", "coverage", "canary.identical_tie", "canary.false_caught",
)  # fmt: skip
LOWER_IS_BETTER = (
    "losses", "unreadable", "forfeits", "first_preferred", "longer_wins", "hallucination", "not_visible",
)  # fmt: skip


class JudgingProtocol(JudgingOptions):
    """Lets a judge compare a model's answers with others, mark them, or check what they claim.

    The cell's model is the student. The judge is another model that answers conversations; it sees answers without
    names. Comparisons are asked in both orders: a win or a loss counts only if both agree, else it is a tie. Verdicts
    that can't be read are counted apart, and never as a win. A refused, failed or empty answer is not shown to the
    judge: it loses against any answer (`forfeits`), has the lowest marks, and covers nothing.

    What to know of the judge is measured beside: how often both orders agree (`orders_agree`), how often the first
    place is preferred (half without a bias), how often the longer answer wins (`longer_wins`), Cohen's kappa with the
    data's right answers, and canaries: equal answers must tie (`canary.identical_tie`), and a planted false claim must
    be caught (`canary.false_caught`). Questions about one image count together in intervals and tests.

    Axis: `probe`, what is changed about the student's and the opponent's images, as in the protocol `answering`; the
    judge sees the true ones.

    Args:
        judge: the model that judges.
        how: `compare` with another answer, mark by a `rubric`, or check `claims`: the answer is split into atomic
            claims, each supported, contradicted or not visible. `hallucination` is contradicted claims among those
            with a readable verdict, `coverage` the share of the reference answer's claims that the answer states.
        opponent: the model whose answers are compared; by default the first accepted answer of each question is.
        criteria: criteria of a rubric, each as `name: what it asks`.
        scale: the best mark; the lowest is 1.
        guidance: sentences for the judge about what counts.
        show_images: whether the judge gets the images.
        show_reference: whether the judge gets the accepted answer.
        canaries: number of answers that canaries are made of.
        planted: a claim that is false of every image of the data.
        verdict_tokens: most new tokens of a verdict.
        prompt: template of the question to the student, with `{question}` and maybe `{choices}`.
        show: what `{choices}` is: nothing, a `list`, or lines with `letters`.
        max_tokens: most new tokens of an answer.
        system: text of a system turn for the student and the opponent.
        question: what is asked about images of a data set with captions or labels.
        split: split to ask about; by default the test split, else the validation split.
        at_once: questions that a model gets in one call, which changes no answer.
    """

    target_kinds = ("answers", "captions", "label")
    provides = (Answered, Judged)
    axes = ("probe",)
    own_numbers = (
        *SHARES, "net_wins", "kappa", "mark", "mark.*", "claims", "characters*", "questions*", "judge_*",
    )  # fmt: skip
    titles: ClassVar = {
        "wins": "Wins", "losses": "Losses", "ties": "Ties", "unreadable": "Unreadable verdicts",
        "net_wins": "Wins − losses", "forfeits": "Forfeits", "orders_agree": "Both orders agree",
        "first_preferred": "First preferred", "longer_wins": "Longer wins", "kappa": "Cohen's κ with labels",
        "mark": "Mark", "hallucination": "Hallucination", "supported": "Supported claims",
        "not_visible": "Claims not visible", "coverage": "Coverage", "claims": "Claims per answer",
        "canary.identical_tie": "Equal answers tie", "canary.false_caught": "False claims caught",
        "characters": "Characters", "characters.other": "Characters of the other", "questions": "Questions",
        "questions_per_second": "Questions per second", "judge_calls": "Questions to the judge",
        "judge_images": "Images shown to the judge", "judge_tokens_in": "Tokens read by the judge",
        "judge_tokens_out": "Tokens written by the judge", "probe": "Probe",
    }  # fmt: skip
    directions: ClassVar[Mapping[str, bool]] = {
        **{name: name not in LOWER_IS_BETTER for name in SHARES}, "net_wins": True, "kappa": True, "mark": True,
        "claims": True, "characters": False, "characters.other": False,
    }  # fmt: skip
    units: ClassVar = dict.fromkeys((*SHARES, "net_wins"), "fraction")
    operational = ("at_once",)
    smallest: ClassVar = {
        "judge": {"plugin": "tiny-mllm", "steps": 0},
        "verdict_tokens": 4,
        "max_tokens": 4,
        "canaries": 2,
        "cell": {
            "models": [{"plugin": "tiny-mllm", "steps": 0}],
            "datasets": [{"plugin": "scene-questions", "count": 4, "kinds": ["colour"]}],
            "metrics": ["answer-rates"],
            "limit": 4,
        },
    }

    def unavailable(self) -> str | None:
        """Return why judge or opponent can't be used here, or None."""
        for model in (self.judge, self.opponent):
            ask: Callable[[], str | None] | None = getattr(model, "unavailable", None)
            if ask is not None and (reason := ask()) is not None:
                return reason
        return None

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this model's answers can't be judged, or None."""
        if method is not None:
            return "the protocol 'judging' takes no method"
        for one, role in ((model, "student"), (self.judge, "judge"), (self.opponent, "opponent")):
            if (one is not None or role == "student") and not has(one, AnswersConversations):
                return explain_missing_capability(
                    one, AnswersConversations, f"the {role} of the protocol 'judging'"
                )
        if self.how == "claims" and not getattr(self.judge, "sees_images", True):
            return "the judge sees no images, with which how = 'claims' compares claims"
        probe = axes.get("probe", "none")
        if probe not in PROBE_NAMES or probe in SHOT_PROBES:
            known = ", ".join(name for name in PROBE_NAMES if name not in SHOT_PROBES)
            return f"the protocol 'judging' has no probe '{probe}'; known: {known}"
        return find_test_split(dataset.splits, self.split).refusal

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return assumptions about the split."""
        remark = find_test_split(dataset.splits, self.split).remark
        return [remark] if remark else []

    def run(self, job: Job) -> Result:
        """Ask, judge and measure."""
        from harness_mllm.judging_cell import JudgingCell

        return JudgingCell(self, job).result()

    def measure(self, job: Job, evidence: Mapping[str, Any]) -> dict[str, float]:
        """Return the metrics of kept evidence."""
        from harness_mllm.evidence_kinds import measure_kinds

        return measure_kinds(job, evidence)
