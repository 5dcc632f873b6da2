"""The statistics of the leaderboard: intervals, paired tests, ties, ranks and gates.

Pure functions of arrays. Importing this needs numpy only; scipy is imported where it is called.
"""

from harness.statistics.across import (
    AcrossTest,
    Nemenyi,
    Ranking,
    complete_data_sets,
    friedman_test,
    nemenyi_test,
    rank_models,
    wilcoxon_test,
)
from harness.statistics.align import Pairs, Unpairable, align
from harness.statistics.bootstrap import bootstrap_interval, bootstrap_mean_interval, sample_interval
from harness.statistics.checks import StatisticsError
from harness.statistics.gates import Answer, Gate, GateError, Verdict, judge, overall, parse_gate
from harness.statistics.intervals import (
    Interval,
    clopper_pearson_interval,
    seeds_samples_interval,
    t_interval,
    wilson_interval,
)
from harness.statistics.multiple import holm
from harness.statistics.paired import (
    PairedTest,
    mcnemar_test,
    paired_difference_interval,
    paired_t_test,
    paired_test,
    permutation_test,
)
from harness.statistics.summary import Summary, summarise
from harness.statistics.ties import BestSet, PerSample, PerSeed, best_and_tied

__all__ = [
    "AcrossTest",
    "Answer",
    "BestSet",
    "Gate",
    "GateError",
    "Interval",
    "Nemenyi",
    "PairedTest",
    "Pairs",
    "PerSample",
    "PerSeed",
    "Ranking",
    "StatisticsError",
    "Summary",
    "Unpairable",
    "Verdict",
    "align",
    "best_and_tied",
    "bootstrap_interval",
    "bootstrap_mean_interval",
    "clopper_pearson_interval",
    "complete_data_sets",
    "friedman_test",
    "holm",
    "judge",
    "mcnemar_test",
    "nemenyi_test",
    "overall",
    "paired_difference_interval",
    "paired_t_test",
    "paired_test",
    "parse_gate",
    "permutation_test",
    "rank_models",
    "sample_interval",
    "seeds_samples_interval",
    "summarise",
    "t_interval",
    "wilcoxon_test",
    "wilson_interval",
]
