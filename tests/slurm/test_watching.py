"""From squeue's text to states, and from states to decisions."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_slurm.event_files import BEGUN, ENDED, RECORDED, STARTED, STOPPED, Account, Line
from harness_slurm.watching import (
    DEATHS,
    OVER,
    WAITING,
    Decision,
    Seen,
    count_live,
    decide,
    describe_end,
    explain_waiting,
    parse_queue,
)

NAMES = st.from_regex(r"harness-[a-z0-9-]{1,20}", fullmatch=True)
STATES = st.sampled_from(sorted(OVER | WAITING | {"RUNNING", "COMPLETING", "SUSPENDED"}))
CELLS = [f"{n:08x}" for n in range(6)]


def account(*lines: tuple[str, ...]) -> Account:
    made = Account()
    made.add([(line[0], line[1] if len(line) > 1 else "", {}) for line in lines])
    return made


def judge(seen: Seen | None, lines: Account, left: list[str], **more: object) -> Decision:
    given_ = {"deaths": {}, "job": "8_3", "minutes": 30, "trace": "log: /store/3.log", **more}
    return decide(seen, lines, left, **given_)  # type: ignore[arg-type]


@given(
    st.dictionaries(
        st.tuples(NAMES, st.integers(0, 999)), st.tuples(STATES, st.integers(0, 2**16 - 1), st.text("ab (),"))
    )
)
def test_the_queue_is_read_as_squeue_prints_it(rows: dict[tuple[str, int], tuple[str, int, str]]) -> None:
    lines = []
    for (name, task), (state, status, why) in rows.items():
        columns = zip((name, 8, task, state, status, why), (64, 24, 24, 24, 24, 160), strict=True)
        lines.append("".join(f"{column:>{width}}" for column, width in columns))
    queue = parse_queue("\n".join(lines))
    assert queue.tasks == {
        key: Seen(state, status, why.strip()) for key, (state, status, why) in rows.items()
    }
    assert set(queue.ids) == {name for name, _ in rows}


@given(st.text())
def test_whatever_squeue_prints_is_no_error(text: str) -> None:
    parse_queue(text)


@given(st.integers(1, 31), st.integers(1, 127))
def test_ends_say_signal_or_exit_status(number: int, code: int) -> None:
    import signal

    killed, ended = describe_end(Seen("FAILED", number)), describe_end(Seen("FAILED", code << 8))
    assert killed == f"killed by {signal.Signals(number).name}"
    assert ended == f"exit status {code}"
    assert os.waitstatus_to_exitcode(number) == -number
    # as newer versions write them
    (told,) = parse_queue(f"n 8 0 FAILED {code}:0 NonZeroExitCode").tasks.values()
    assert describe_end(told) == ended


LINES = st.lists(
    st.one_of(
        st.sampled_from([(BEGUN, ""), (ENDED, ""), (STOPPED, "")]),
        st.tuples(st.sampled_from([STARTED, RECORDED, "cell_progress"]), st.sampled_from(CELLS)),
    )
)


@given(
    st.one_of(st.none(), st.builds(Seen, st.sampled_from(sorted(OVER)), st.sampled_from([None, 0, 9, 256]))),
    LINES,
    st.sets(st.sampled_from(CELLS), min_size=1),
    st.dictionaries(st.sampled_from(CELLS), st.integers(0, DEATHS - 1)),
    st.booleans(),
)
def test_every_cell_has_one_fate_and_none_is_tried_for_ever(
    seen: Seen | None, lines: list[tuple[str, str]], cells: set[str], deaths: dict[str, int], cancelled: bool
) -> None:
    told = account(*lines)
    left = sorted(cells - set(told.recorded))
    made = judge(seen, told, left, deaths=deaths, cancelled=cancelled)
    assert sorted([*made.failed, *made.again, *made.alone]) == left
    total = Counter(deaths) + made.deaths
    for cell in left:
        assert (total[cell] < DEATHS) or cell in made.failed
    # a job that made nothing, and was not told to stop, brings its cells nearer to an end
    regular = told.ended or told.stopped or (seen is not None and seen.state in ("PREEMPTED", "CANCELLED"))
    # (one that was started and is not left has a record by now)
    some = told.made or set(told.started) - set(left)
    if left and not regular and not some and (told.begun or seen is not None):
        assert made.failed or made.deaths


def test_a_cell_that_kills_its_job_goes_alone_and_then_fails() -> None:
    told = account((BEGUN,), (STARTED, "a"), (RECORDED, "a"), (STARTED, "b"))
    first = judge(Seen("FAILED", 9), told, ["b", "c"])
    assert (first.alone, first.again, first.failed) == (["b"], ["c"], {})
    assert first.lost == "killed by SIGKILL"
    second = judge(Seen("FAILED", 9), account((BEGUN,), (STARTED, "b")), ["b"], deaths=first.deaths)
    assert second.failed == {
        "b": "2 Slurm jobs died with it, the last was 8_3: killed by SIGKILL; log: /store/3.log"
    }


def test_a_first_cell_that_kills_its_job_before_that_was_told() -> None:
    first = judge(Seen("FAILED", 9), account((BEGUN,)), ["a", "b"])
    assert (first.alone, first.again, first.deaths) == (["a"], ["b"], {"a": 1})


@pytest.mark.parametrize(
    "state", ["FAILED", "COMPLETED", "NODE_FAIL", "BOOT_FAIL", "TIMEOUT", "OUT_OF_MEMORY"]
)
def test_jobs_that_never_begin_fail_their_cells_at_the_second(state: str) -> None:
    first = judge(Seen(state, 256), account(), ["a", "b"])
    assert (first.again, first.failed, first.deaths) == (["a", "b"], {}, {"a": 1, "b": 1})
    second = judge(
        Seen(state, 256), account(), ["a", "b"], deaths=first.deaths, trace="it left no log in /store"
    )
    assert second.failed.keys() == {"a", "b"}
    assert second.failed["a"].startswith("2 Slurm jobs ended before it ran, the last was 8_3: ")
    assert second.failed["a"].endswith("it left no log in /store")


def test_time_limit() -> None:
    whole = account((BEGUN,), (STARTED, "a"))
    alone = judge(Seen("TIMEOUT"), whole, ["a", "b"])
    assert alone.again == ["b"]
    assert alone.failed == {
        "a": "needs more than 30 minutes, the time limit of Slurm job 8_3: give more minutes; log: /store/3.log"
    }
    # a cell that came second had not the whole time
    second = judge(
        Seen("TIMEOUT"), account((BEGUN,), (STARTED, "z"), (RECORDED, "z"), (STARTED, "a")), ["a", "b"]
    )
    assert (second.alone, second.again, second.failed) == (["a"], ["b"], {})
    # what a requeued job recorded before is no progress of its last start
    again = account((BEGUN,), (RECORDED, "z"), (STOPPED,), (BEGUN,), (STARTED, "a"))
    assert judge(Seen("TIMEOUT"), again, ["a"]).failed.keys() == {"a"}
    # the notice came in time
    assert judge(
        Seen("TIMEOUT"), account((BEGUN,), (STARTED, "z"), (RECORDED, "z"), (ENDED,)), ["a"]
    ).again == ["a"]


def test_cancelled_jobs_are_not_submitted_again_by_the_command_that_watched() -> None:
    told = account((BEGUN,), (STARTED, "a"))
    watched = judge(Seen("CANCELLED", 9), told, ["a", "b"])
    assert set(watched.failed.values()) == {"its Slurm job 8_3 was cancelled: the same command runs it again"}
    assert judge(Seen("CANCELLED", 9), told, ["a", "b"], cancelled=False).again == ["a", "b"]
    # a waiting task that is cancelled alone leaves no trace
    assert judge(None, account(), ["a"]).failed.keys() == {"a"}
    # but one that began was lost
    lost = judge(None, told, ["a", "b"])
    assert (lost.alone, lost.again) == (["a"], ["b"])
    assert lost.lost == "lost, Slurm doesn't know it any more"


@pytest.mark.parametrize(
    "told", [account((BEGUN,), (STARTED, "a"), (STOPPED,)), account((BEGUN,), (STARTED, "a"))]
)
def test_preemption_is_no_fault_of_the_cells(told: Account) -> None:
    made = judge(Seen("PREEMPTED"), told, ["a", "b"], deaths={"a": 1})
    assert (made.again, made.deaths) == (["a", "b"], {})


def test_a_job_that_was_told_to_stop_for_no_known_reason() -> None:
    told = account((BEGUN,), (STARTED, "a"), (STOPPED,))
    assert judge(None, told, ["a", "b"]).again == ["a", "b"]
    # as by a watcher of memory: not for ever
    assert judge(Seen("FAILED", 143 << 8), told, ["a", "b"]).alone == ["a"]


def test_lost_nodes_that_start_a_job_again_count() -> None:
    told = account((BEGUN,), (STARTED, "a"), (BEGUN,), (STARTED, "a"))
    assert told.deaths == {"a": 1}
    assert judge(Seen("NODE_FAIL"), told, ["a"]).failed.keys() == {"a"}
    stopped = account((BEGUN,), (STARTED, "a"), (STOPPED,), (BEGUN,), (STARTED, "a"))
    assert judge(Seen("NODE_FAIL"), stopped, ["a"]).alone == ["a"]


def test_reasons_to_wait_that_may_not_pass() -> None:
    waiting = [
        Seen("PENDING", 0, "Priority"),
        Seen("PENDING", 0, "PartitionTimeLimit"),
        Seen("PENDING", 0, "ReqNodeNotAvail, UnavailableNodes:node1"),
        Seen("PENDING", 0, "ReqNodeNotAvail, UnavailableNodes:node1"),
        Seen("RUNNING", 0, "None"),
        None,
    ]
    assert explain_waiting(waiting) == ["ReqNodeNotAvail, UnavailableNodes:node1", "PartitionTimeLimit"]
    assert count_live([*waiting, Seen("FAILED", 9), Seen("COMPLETING")]) == (5, 2)


def test_lines_of_one_start() -> None:
    lines: list[Line] = [(BEGUN, "", {}), (STARTED, "a", {}), ("cell_progress", "a", {}), (STARTED, "b", {})]
    told = Account()
    told.add(lines[:2])
    told.add(lines[2:])
    assert told.started == ["a", "b"]
