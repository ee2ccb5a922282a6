"""The joblib backend, over every start method: what joblib promises, pools, scikit-learn."""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
import pytest

import onecopy as oc
import onecopy.joblib
from onecopy._system.native_threads import THREAD_VARIABLES
from onecopy.errors import RemoteTraceback
from onecopy.joblib import OnecopyBackend
from onecopy.pool import Method
from tests import scripts
from tests.pooled import double

pytestmark = pytest.mark.door

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def registered() -> None:
    onecopy.joblib.register()


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[oc.Pool]]:
    """The pools that are made, in order."""
    made: list[oc.Pool] = []

    class Noted(oc.Pool):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(onecopy.joblib, "Pool", Noted)
    yield made
    made.clear()


def using(method: str, **options: Any) -> Any:
    return joblib.parallel_config(backend="onecopy", n_jobs=2, method=method, **options)


def run(function: Any, items: Any, **options: Any) -> Any:
    return joblib.Parallel(**options)(joblib.delayed(function)(item) for item in items)


def fail_on_three(x: int) -> int:
    if x == 3:
        raise ValueError(f"no {x}")
    return x


def pid_of(_: object) -> int:
    return os.getpid()


def end_itself(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def begin_and_hang(begun: Array) -> None:
    begun[0] = os.getpid()
    time.sleep(600)


def hang_or_double(begun: Array, x: int) -> int:
    if not x:
        begin_and_hang(begun)
    return 2 * x


def wait_for(gate: Array, x: int) -> int:
    scripts.until(lambda: bool(gate[0]), "the gate is open")
    return x


STATE = [0]


def see_state(_: object) -> int:
    return STATE[0]


def gone(pid: float) -> bool:
    return not psutil.pid_exists(int(pid))


class TestResults:
    def test_in_order(self, method: str) -> None:
        with using(method):
            assert run(double, range(300)) == [2 * x for x in range(300)]
            assert run(double, range(5), batch_size=2) == [0, 2, 4, 6, 8]
            assert run(double, range(5), pre_dispatch="all") == [0, 2, 4, 6, 8]
            assert run(double, []) == []

    def test_lambdas_and_closures(self, method: str) -> None:
        k = 3
        with using(method):
            assert run(lambda x: x + k, range(4)) == [3, 4, 5, 6]

    def test_as_generators(self, method: str) -> None:
        with using(method):
            ordered = run(double, range(20), return_as="generator")
            assert [next(ordered), next(ordered)] == [0, 2]
            assert list(ordered) == [2 * x for x in range(2, 20)]
            unordered = run(double, range(20), return_as="generator_unordered")
            assert sorted(unordered) == [2 * x for x in range(20)]

    def test_unordered_is_as_they_come(self, process_method: str) -> None:
        gate = oc.zeros(1)
        with using(process_method):
            tasks = [joblib.delayed(wait_for)(gate, 0), joblib.delayed(double)(1)]
            parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
            results = parallel(tasks)
            assert next(results) == 2
            gate[0] = 1
            assert next(results) == 0
            assert list(results) == []

    def test_pre_dispatch_bounds_what_is_taken(self, method: str) -> None:
        gate = oc.zeros(1)
        taken: list[int] = []

        def tasks() -> Iterator[Any]:
            for x in range(10):
                taken.append(x)
                yield joblib.delayed(wait_for)(gate, x)

        with using(method):
            parallel = joblib.Parallel(return_as="generator", pre_dispatch=3, batch_size=1)
            results = parallel(tasks())
            assert taken == [0, 1, 2]
            gate[0] = 1
            assert list(results) == list(range(10))

    def test_plain_arrays_are_the_tasks_own(self, process_method: str) -> None:
        def increase(array: Array) -> float:
            array += 1
            return float(array[0])

        plain = np.zeros(300_000)
        with using(process_method):
            assert run(increase, [plain] * 4) == [1.0] * 4
        assert not plain.any()

    def test_a_shared_array_moves_no_bytes(self, process_method: str, pools: list[oc.Pool]) -> None:
        data = oc.share(np.arange(4_000_000.0))
        with using(process_method):
            whole = run(np.sum, [data] * 8, batch_size=1)
            parts = joblib.Parallel()(
                joblib.delayed(lambda part: (oc.is_shared(part), part.sum()))(data[i::4])
                for i in range(4)
            )
        assert whole == [data.sum()] * 8
        assert parts == [(True, data[i::4].sum()) for i in range(4)]
        stats = [pool.stats() for pool in pools]
        assert sum(s.bytes_shared for s in stats) >= 9 * data.nbytes
        assert sum(s.bytes_copied for s in stats) == 0
        assert sum(s.bytes_sent + s.bytes_received for s in stats) < 100_000


class TestJobs:
    def test_how_many(self) -> None:
        with joblib.parallel_config(backend="onecopy"):
            assert joblib.effective_n_jobs(None) == 1  # as with loky
            assert joblib.effective_n_jobs(-1) == oc.cpu_count()
            assert joblib.effective_n_jobs(-1 - oc.cpu_count()) == 1
            assert joblib.effective_n_jobs(-1000) == 1
            assert joblib.effective_n_jobs(3) == 3
            with pytest.raises(ValueError, match="no meaning"):
                joblib.effective_n_jobs(0)

    def test_one_job_is_done_by_the_caller(self, method: str, pools: list[oc.Pool]) -> None:
        with joblib.parallel_config(backend="onecopy", n_jobs=1, method=method):
            assert run(pid_of, range(3)) == [os.getpid()] * 3
        assert not pools

    def test_inside_a_task_all_is_done_by_its_worker(self, method: str) -> None:
        def where(_: object) -> tuple[int, int]:
            return os.getpid(), threading.get_ident()

        def inner(_: object) -> tuple[int, bool, bool]:
            here = {where(None)}
            plain = run(where, range(4), n_jobs=2)
            with joblib.parallel_config(backend="onecopy", n_jobs=-1):
                named = run(where, range(4))
                return joblib.effective_n_jobs(2), set(plain) == here, set(named) == here

        with using(method):
            assert run(inner, range(4)) == [(1, True, True)] * 4

    def test_native_threads(self, process_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in THREAD_VARIABLES:
            monkeypatch.delenv(name, raising=False)

        def limit(_: object) -> str:
            return os.environ["OMP_NUM_THREADS"]

        with using(process_method):
            assert set(run(limit, range(4))) == {str(max(1, oc.cpu_count() // 2))}
        with using(process_method, inner_max_num_threads=7):
            assert set(run(limit, range(4))) == {"7"}

    def test_native_threads_are_not_the_threads_own(self) -> None:
        with (
            using("thread", inner_max_num_threads=1),
            pytest.raises(ValueError, match="inner_max_num_threads"),
        ):
            run(double, range(4))

    def test_the_method_may_be_named_by_parallel(self, pools: list[oc.Pool]) -> None:
        parallel = joblib.Parallel(2, backend="onecopy", method="thread")
        assert parallel(joblib.delayed(double)(x) for x in range(3)) == [0, 2, 4]
        assert [pool.method for pool in pools] == ["thread"]
        assert joblib.Parallel(2, backend="onecopy")([joblib.delayed(double)(1)] * 2) == [2, 2]
        assert pools[1].method == "forkserver"
        with using("sppoon"), pytest.raises(ValueError, match="sppoon"):
            run(double, range(3))


class TestErrors:
    def test_a_tasks_error_has_the_workers_traceback(self, method: str) -> None:
        with using(method):
            with pytest.raises(ValueError, match="no 3") as caught:
                run(fail_on_three, range(10))
            assert isinstance(caught.value.__cause__, RemoteTraceback)
            assert "in fail_on_three" in str(caught.value.__cause__)
            assert run(double, range(4)) == [0, 2, 4, 6]

    def test_in_the_middle_of_a_generator(self, method: str) -> None:
        with using(method):
            results = run(fail_on_three, range(4), return_as="generator", batch_size=1)
            with pytest.raises(ValueError, match="no 3"):
                list(results)

    def test_what_cannot_be_pickled(self, process_method: str) -> None:
        lock = threading.Lock()
        with using(process_method):
            with pytest.raises(oc.NotPicklable, match="lock"):
                run(double, [lock])
            # Taken from the iterable by the callback of a task before it.
            with pytest.raises(oc.NotPicklable, match="lock"):
                run(double, [*range(8), lock], pre_dispatch=2, batch_size=1)
            with pytest.raises(oc.NotPicklable, match="result"):
                run(lambda _: threading.Lock(), range(4))
            assert run(double, range(4)) == [0, 2, 4, 6]

    def test_the_iterables_own_error(self, method: str) -> None:
        def tasks() -> Iterator[Any]:
            for x in range(8):
                yield joblib.delayed(double)(x)
            raise LookupError("nothing more")

        with using(method), pytest.raises(LookupError, match="nothing more"):
            joblib.Parallel(pre_dispatch=2, batch_size=1)(tasks())

    def test_a_killed_worker(self, process_method: str) -> None:
        with using(process_method):
            with pytest.raises(oc.WorkerDied, match=r"SIGKILL.* ran tests\..*end_itself"):
                run(end_itself, range(4))
            assert run(double, range(4)) == [0, 2, 4, 6]

    def test_a_timeout_ends_the_work(self, process_method: str) -> None:
        begun = oc.zeros(1)
        with using(process_method):
            with pytest.raises(multiprocessing.TimeoutError):
                run(begin_and_hang, [begun] * 2, timeout=1)
            scripts.until(lambda: gone(begun[0]) or not begun[0], "the worker has ended")
            assert run(double, range(4), timeout=60) == [0, 2, 4, 6]

    def test_ctrl_c_ends_the_work(self, process_method: str) -> None:
        begun = oc.zeros(1)
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            scripts.until(lambda: bool(begun[0]), "a task has begun")
            signal.pthread_kill(main, signal.SIGINT)

        interrupter = threading.Thread(target=interrupt)
        with using(process_method):
            interrupter.start()
            with pytest.raises(KeyboardInterrupt):
                run(begin_and_hang, [begun] * 2)
            interrupter.join()
            scripts.until(lambda: gone(begun[0]), "the worker has ended")
            assert run(double, range(4)) == [0, 2, 4, 6]

    def test_a_generator_that_is_dropped_ends_its_own_work_only(self, process_method: str) -> None:
        begun, gate = oc.zeros(1), oc.zeros(1)
        with using(process_method):
            kept = joblib.Parallel(return_as="generator", batch_size=1)(
                joblib.delayed(wait_for)(gate, x) for x in range(6)
            )
            dropped = joblib.Parallel(return_as="generator", batch_size=1)(
                joblib.delayed(hang_or_double)(begun, x) for x in (1, 0, 2)
            )
            assert next(dropped) == 2
            scripts.until(lambda: bool(begun[0]), "a task has begun")
            with pytest.warns(UserWarning, match="still being processed"):
                dropped.close()
            scripts.until(lambda: gone(begun[0]), "the worker has ended")
            gate[0] = 1
            assert list(kept) == list(range(6))


class TestPools:
    def test_one_pool_for_a_block(self, method: str, pools: list[oc.Pool]) -> None:
        with using(method):
            for _ in range(3):
                assert run(double, range(4)) == [0, 2, 4, 6]
        # Workers by fork are to see the caller as it is at each call.
        assert len(pools) == (3 if method == "fork" else 1)

    def test_fork_sees_the_caller_at_each_call(self) -> None:
        with using("fork"):
            for value in range(3):
                STATE[0] = value
                assert run(see_state, range(2)) == [value, value]

    def test_one_pool_for_a_parallel_object(self, pools: list[oc.Pool]) -> None:
        parallel = joblib.Parallel(2, backend="onecopy", method="thread")
        for _ in range(3):
            assert parallel(joblib.delayed(double)(x) for x in range(3)) == [0, 2, 4]
        with parallel:
            for _ in range(3):
                assert parallel(joblib.delayed(double)(x) for x in range(3)) == [0, 2, 4]
        assert len(pools) == 1

    def test_other_wishes_get_another_pool(self, pools: list[oc.Pool]) -> None:
        with using("thread"):
            run(double, range(4))
            run(double, range(4), n_jobs=3)
            run(double, range(4))
        assert [pool.workers for pool in pools] == [2, 3, 2]

    def test_the_pool_ends_with_the_block(self, process_method: str) -> None:
        gc.disable()  # the block's end is what ends it
        try:
            with using(process_method):
                # The error finds tasks that are not done: they hold on to nothing.
                with contextlib.suppress(ValueError):
                    run(fail_on_three, range(20), batch_size=1, pre_dispatch="all")
                pids = set(run(pid_of, range(4), batch_size=1))
            scripts.until(lambda: all(map(gone, pids)), "the workers have ended")
        finally:
            gc.enable()

    def test_an_error_alone_does_not_cost_the_pool(self, pools: list[oc.Pool]) -> None:
        with using("forkserver"):
            assert run(double, range(4)) == [0, 2, 4, 6]
            with pytest.raises(ValueError, match="no 3"):
                run(fail_on_three, [3], batch_size=1)
            assert run(double, range(4)) == [0, 2, 4, 6]
        assert len(pools) == 1

    def test_a_kept_pool_that_lost_its_workers_is_replaced(self, pools: list[oc.Pool]) -> None:
        with using("forkserver"):
            assert run(double, range(4)) == [0, 2, 4, 6]
            zygotes = {psutil.Process(pid).ppid() for pid in pools[0].pids()}
            assert len(zygotes) == 1
            os.kill(zygotes.pop(), signal.SIGKILL)
            scripts.until(lambda: not pools[0].stats().workers, "the workers have ended")
            assert run(double, range(4)) == [0, 2, 4, 6]
        assert len(pools) == 2

    def test_an_iterable_that_runs_another_parallel(self, process_method: Method) -> None:
        backend = OnecopyBackend(process_method)

        def tasks() -> Iterator[Any]:
            for x in range(6):
                inner = joblib.Parallel(2, backend=backend)
                yield joblib.delayed(sum)(inner(joblib.delayed(double)(y) for y in range(x)))

        outer = joblib.Parallel(2, backend=backend, pre_dispatch=2, batch_size=1)
        assert outer(tasks()) == [0, 0, 2, 6, 12, 20]

    def test_in_a_forked_child_there_is_another(self) -> None:
        with using("forkserver"):
            assert run(double, range(4)) == [0, 2, 4, 6]
            read, write = os.pipe()
            child = os.fork()
            if not child:
                with contextlib.suppress(BaseException):
                    os.write(write, repr(run(double, range(4))).encode())
                os._exit(0)
            os.waitpid(child, 0)
            said = os.read(read, 100)
            os.close(read)
            os.close(write)
            assert said == b"[0, 2, 4, 6]"
            assert run(double, range(4)) == [0, 2, 4, 6]


PROGRAM = """
import sys
import joblib, onecopy.joblib

onecopy.joblib.register()
joblib.parallel_config(backend="onecopy", n_jobs=2, method=sys.argv[1])  # to the end


def make(k):
    return lambda x: x + k + OFFSET


OFFSET = 100
print(joblib.Parallel()(joblib.delayed(make(i))(1) for i in range(3)))
"""


class TestPrograms:
    def test_functions_of_main_and_a_quiet_end(self, method: str, tmp_path: Path) -> None:
        done = scripts.run(tmp_path, PROGRAM, method)
        scripts.assert_clean(done, "[101, 102, 103]")

    def test_onecopy_alone_does_not_import_joblib(self, tmp_path: Path) -> None:
        source = (
            "import sys, onecopy as oc\noc.Pool, oc.share, oc.load\nprint('joblib' in sys.modules)"
        )
        scripts.assert_clean(scripts.run(tmp_path, source), "False")

    def test_without_joblib_it_says_what_to_install(self, tmp_path: Path) -> None:
        source = """
import sys
sys.modules["joblib"] = None
try:
    import onecopy.joblib
except ImportError as error:
    print(error)
"""
        done = scripts.run(tmp_path, source)
        wanted = "onecopy.joblib needs joblib 1.5 or later: pip install --upgrade joblib"
        scripts.assert_clean(done, wanted)

    def test_registering_twice(self) -> None:
        onecopy.joblib.register()
        onecopy.joblib.register()
        with using("thread"):
            assert run(double, range(3)) == [0, 2, 4]


def scores() -> dict[str, list[float]]:
    """The scores that scikit-learn finds by two jobs of the backend that is in force."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score

    x, y = make_classification(n_samples=300, n_features=12, random_state=0)
    validated = cross_val_score(LogisticRegression(), x, y, cv=4)
    shared = cross_val_score(LogisticRegression(), oc.share(x), oc.share(y), cv=4)
    # A forest fits its trees by joblib too: that is the nested use.
    forest = RandomForestClassifier(n_estimators=5, random_state=0, n_jobs=2)
    grid = {"max_depth": [2, 4], "max_features": [3, 6]}
    search = GridSearchCV(forest, grid, cv=3).fit(x, y)
    found = {
        name: [float(value) for value in values]
        for name, values in search.cv_results_.items()
        if name.startswith(("split", "mean_test", "std_test", "rank"))
    }
    return found | {
        "cross_val_score": validated.tolist(),
        "cross_val_score of shared data": shared.tolist(),
        "predicted": search.predict(x).tolist(),
    }


BY_LOKY = """
import json
import joblib
from tests.processes.test_joblib import scores

with joblib.parallel_config(backend="loky", n_jobs=2):
    print(json.dumps(scores()))
"""


@pytest.fixture(scope="module")
def by_loky() -> Any:
    """The same by loky, which leaves files and processes behind that end with the program:
    so it has a program of its own."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", BY_LOKY]
    done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, timeout=100)
    return json.loads(done.stdout)


class TestScikitLearn:
    def test_scores_are_those_by_loky(self, by_loky: Any, method: str) -> None:
        with using(method):
            found = scores()
        assert len(found) >= 9
        assert found == by_loky
