"""Options of the joblib backend: each is carried out or refused; and backends that tasks name."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path
from typing import Any

import joblib
import pytest
from joblib.externals.loky import get_reusable_executor

import onecopy as oc
import onecopy.joblib

pytestmark = pytest.mark.door

FOUND: list[Any] = []


@pytest.fixture(autouse=True)
def registered() -> None:
    onecopy.joblib.register()
    FOUND.clear()  # what a thread has left there is the owner's, and would follow


def set_up(log: Any, *more: Any) -> None:
    FOUND[:] = more
    log.append((os.getpid(), *more))


def look(_: object) -> list[Any]:
    return list(FOUND)


def pid_of(_: object) -> int:
    return os.getpid()


def run(function: Any, **options: Any) -> Any:
    return joblib.Parallel(**options)(joblib.delayed(function)(at) for at in range(8))


class TestInitializer:
    def test_of_a_parallel_config(self, method: str) -> None:
        log = oc.append_log()
        config: dict[str, Any] = {"initializer": set_up, "initargs": (log, 5, "a")}
        with joblib.parallel_config(backend="onecopy", n_jobs=2, method=method, **config):
            assert run(look) == [[5, "a"]] * 8
        assert {said[1:] for said in log} == {(5, "a")}

    def test_of_a_parallel(self, method: str) -> None:
        log = oc.append_log()
        options: dict[str, Any] = {"initializer": set_up, "initargs": [log, 7]}
        assert run(look, n_jobs=2, backend="onecopy", method=method, **options) == [[7]] * 8
        assert 1 <= len(list(log)) <= 2

    def test_with_a_limit_of_native_threads(self, process_method: str) -> None:
        log = oc.append_log()
        with joblib.parallel_config(
            backend="onecopy",
            n_jobs=2,
            method=process_method,
            inner_max_num_threads=1,
            initializer=set_up,
            initargs=(log, 3),
        ):
            assert run(look) == [[3]] * 8
            assert run(threads_of) == ["1"] * 8

    def test_the_same_keeps_the_pool_and_another_does_not(self) -> None:
        log = oc.append_log()
        args = (log, 1)
        with joblib.parallel_config(backend="onecopy", n_jobs=2):
            first = set(run(pid_of, initializer=set_up, initargs=args))
            again = set(run(pid_of, initializer=set_up, initargs=args))
            other = set(run(pid_of, initializer=set_up, initargs=(log, 2)))
        assert len(first | again) <= 2
        assert not other & (first | again)

    def test_one_that_raises_fails_the_call(self, method: str) -> None:
        with pytest.raises(oc.InitializerFailed):
            run(look, n_jobs=2, backend="onecopy", method=method, initializer=divmod)


def threads_of(_: object) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


class TestOtherOptions:
    def test_of_the_pool(self) -> None:
        options: dict[str, Any] = {"maxtasksperchild": 1, "preload": ("csv",), "logs": False}
        pids = run(pid_of, n_jobs=2, backend="onecopy", batch_size=1, **options)
        assert len(set(pids)) == 8

    @pytest.mark.parametrize("option", ["idle_worker_timeout", "timeout_", "initialiser"])
    def test_one_that_nobody_knows_is_refused(self, option: str) -> None:
        with (
            pytest.raises(TypeError, match=f"has no option '{option}'; it has method"),
            joblib.parallel_config(backend="onecopy", n_jobs=2, **{option: 1}),
        ):
            pass
        with pytest.raises(TypeError, match=f"has no option '{option}'"):
            run(look, n_jobs=2, backend="onecopy", **{option: 1})

    def test_those_that_joblib_gives_to_every_backend_are_taken(self) -> None:
        with joblib.parallel_config(
            backend="onecopy", n_jobs=2, max_nbytes="1K", mmap_mode="r", temp_folder="/nowhere"
        ):
            assert run(look, prefer="processes", verbose=0) == [[]] * 8


def nested(backend: str) -> tuple[list[str], set[int]]:
    """The warnings, and the processes that work, when a task names this backend."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pids = run(pid_of, n_jobs=2, backend=backend)
    return [str(each.message) for each in caught], {*pids, os.getpid()}


class TestBackendsThatTasksName:
    @pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
    def test_no_process_is_started_and_joblib_says_so(
        self, process_method: str, backend: str
    ) -> None:
        with joblib.parallel_config(backend="onecopy", n_jobs=2, method=process_method):
            ((said, pids),) = joblib.Parallel()([joblib.delayed(nested)(backend)])
        assert any("setting n_jobs=1" in each for each in said)
        assert len(pids) == 1

    def test_our_own_is_silent(self, method: str) -> None:
        with joblib.parallel_config(backend="onecopy", n_jobs=2, method=method):
            ((said, pids),) = joblib.Parallel()([joblib.delayed(nested)("onecopy")])
        assert said == []
        assert len(pids) == 1

    def test_ours_below_another_says_so(self) -> None:
        with joblib.parallel_config(backend="threading", n_jobs=2):
            ((said, pids),) = joblib.Parallel()([joblib.delayed(nested)("onecopy")])
        assert any("onecopy-backed parallel loops cannot be nested" in each for each in said)
        assert len(pids) == 1

    @pytest.mark.leaks("loky keeps its workers and its resource tracker")
    def test_loky_that_was_used_before_does_not_hang_a_forked_worker(self, tmp_path: Path) -> None:
        # What loky keeps until the program ends is kept there, and not in /dev/shm.
        assert len(run(pid_of, n_jobs=2, backend="loky", temp_folder=str(tmp_path))) == 8
        try:
            self._below_ours()
        finally:
            get_reusable_executor().shutdown(wait=True, kill_workers=True)

    def _below_ours(self) -> None:
        with joblib.parallel_config(backend="onecopy", n_jobs=2, method="fork"):
            ((said, pids),) = joblib.Parallel()([joblib.delayed(nested)("loky")])
        assert any("setting n_jobs=1" in each for each in said)
        assert len(pids) == 1


def test_no_thread_for_callbacks_is_an_error_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def refusing(self: threading.Thread) -> None:
        if self.name == "onecopy-joblib-callbacks":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run(pid_of, n_jobs=2, backend="onecopy")
