"""The pool's own tests on made-up hosts: which of them run there (`pytest --hosts=1`, `make hosts`).

The option replaces the start method of every test that makes its pool with `make_pool`, or its
executor with `make_executor`: it is on as many hosts as the test wants workers. What cannot hold
there is listed here with its reason.
"""

from __future__ import annotations

from inspect import signature

import pytest

CLUSTER = "cluster"

OPEN = "its tasks write to open memory, which stays on one machine"
OWN = "it makes its pool without the fixture"
COUNTED = "it counts bytes or descriptors of one machine's channels"
INSIDE = "it looks at parts that an engine of processes has"

_REFUSED = "is on the driver's machine and can be written"

# By file, class or test.
REFUSED: dict[str, str] = {
    "test_cancel.py": OPEN,
    "test_chaos.py": OPEN,
    "test_chunks_cut.py": OPEN,
    "test_chunks_early.py": OPEN,
    "test_pool_ahead.py": OPEN,
    "test_reports_of_a_real_pool": "it expects the name of its start method",
    "test_frames_of_other_libraries": COUNTED,
    "test_groups_of_an_ordered_frame_move_nothing": COUNTED,
    "test_large_captured_data_stands_in_memory_once": COUNTED,
    "test_one_descriptor_per_worker": COUNTED,
    "test_reading_costs_workers_no_memory": COUNTED,
    "test_a_loaded_table_moves_the_same_bytes_at_any_size": COUNTED,
    "test_worker_shares_and_returns": COUNTED,
    "test_workers_read_where_it_stands": COUNTED,
    "test_a_slow_handler_slows_those_that_log_and_nobody_else": INSIDE,
    "test_killed_while_receiving": INSIDE,
    "test_apply_is_killed_while_receiving": INSIDE,
    "test_killed_while_sending": INSIDE,
    "test_a_finished_result_is_read_after_the_worker_s_death": INSIDE,
    "test_result_of_one.py": INSIDE,
    "test_what_runs_now": "its host alone knows which process runs a task",
    "test_memory_over_time": INSIDE,
    "test_memory_that_dead_workers_held_does_not_pile_up": INSIDE,
    "test_a_done_callback_that_exits": OPEN,
    "test_a_kill_in_the_middle_of_appending": OPEN,
    "test_a_worker_that_dies_while_others_wait_for_it": OPEN,
    "test_as_functions": OPEN,
    "test_cancelling_ends_the_worker": OPEN,
    "test_every_item_is_run_even_when_some_fail": OPEN,
    "test_a_freeze_that_was_interrupted_is_done_again": OPEN,
    "test_file_that_is_cut_while_a_worker_reads_it": OPEN,
    "test_freeze_waits_for_a_worker_that_writes": OPEN,
    "test_terminate_stops_without_finishing": OPEN,
    "test_what_a_killed_worker_has_written_stays": OPEN,
    "test_worker_makes_a_writable_one": OPEN,
    "test_worker_may_not_freeze_what_is_not_its_own": OPEN,
    "test_no_logs_and_yet_prints": OWN,
    "test_what_a_handler_raises_is_raised_where_it_came": OWN,
    "test_the_traceback_is_the_user_s": OWN,
    "test_inheriting.py": "its workers inherit what only children of the pool's process can",
    "test_result_of_too_much": "a file that a host alone has open comes by value",
}


def skip_what_is_refused(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Skip a test whose tasks get open memory: the pool has refused it, with this reason."""
    raised = call.excinfo
    if raised is not None and raised.type.__name__ == "NotShared" and _REFUSED in str(raised.value):
        report.outcome = "skipped"
        report.longrepr = (str(raised.traceback[-1].path), raised.traceback[-1].lineno, OPEN)


def runs_on_hosts(item: pytest.Item, method: str) -> bool:
    """Return True for a test that runs on hosts, once."""
    names = getattr(item, "fixturenames", ())
    if not {"make_pool", "make_executor"} & {*names} or method not in ("forkserver", ""):
        return False
    if not {"method", "process_method"} & {*names}:
        return False
    # Signs are open memory: the refusal may be in a future, or end a test whose thread goes on.
    assert isinstance(item, pytest.Function)
    if "signs" in signature(item.function).parameters:
        return False
    parts = item.nodeid.split("::")
    places = {parts[0].rpartition("/")[2], *(part.partition("[")[0] for part in parts[1:])}
    return not places & {*REFUSED}
