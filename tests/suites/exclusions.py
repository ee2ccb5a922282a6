"""The tests of others' suites that are left out, each with its reason.

Good reasons are two: a test looks at the standard classes' private parts, or it holds
something that onecopy's documentation says is different here. A test that fails for any
other reason is a fault of ours.

A key is a pattern for the end of a test's id, ``Class.test``; ``*`` stands for anything. The
versions of Python that an exclusion is for are named where it is not for all.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase

_MANAGER_THREAD = "asks for the private _executor_manager_thread"
_QUEUE = "asks for the private _call_queue"
_FORCE = "asks for the private _force_shutdown"
_TRACEBACK = "asks for the standard library's private class of a remote traceback"
_OWN_ERROR = (
    "what cannot be unpickled fails its own call, with the error that was raised, and no other; "
    "docs/how-to/executor.md, What changes"
)
_ALL_START = "all workers start at the first call; docs/how-to/executor.md, What changes"
_ON_THE_WAY = "asks the private _processes at once, while workers start in the background"

EXECUTOR: dict[str, str] = {
    "*ExecutorDeadlockTest.test_*_at_task_unpickle": _OWN_ERROR,
    "*ExecutorDeadlockTest.test_*_during_result_unpickle_in_result_handler": _OWN_ERROR,
    "*ExecutorDeadlockTest.test_shutdown_deadlock_pickle": _MANAGER_THREAD,
    "*ExecutorTest.test_shutdown_no_wait_max_tasks_gh119592": _MANAGER_THREAD,
    "*ExecutorTest.test_gc_during_max_tasks_worker_exit_gh152967": _MANAGER_THREAD,
    "*ExecutorTest.test_failed_worker_replacement_breaks_pool": _MANAGER_THREAD,
    "*ExecutorTest.test_force_shutdown_during_max_tasks_worker_exit": _MANAGER_THREAD,
    "*ShutdownTest.test_shutdown_gh_132969_case_?": _MANAGER_THREAD,
    "*ShutdownTest.test_del_shutdown": _MANAGER_THREAD,
    "*ShutdownTest.test_shutdown_no_wait": _QUEUE,
    "*ExecutorTest.test_terminate_workers": _FORCE,
    "*ExecutorTest.test_kill_workers": _FORCE,
    "*ExecutorTest.test_force_shutdown_workers_invalid_op": _FORCE,
    "*ExecutorTest.test_force_shutdown_workers": (
        "replaces methods of the private _processes' objects, and expects them to be called"
    ),
    "*ExecutorTest.test_traceback": _TRACEBACK,
    "*ExecutorTest.test_killed_child": (
        "a worker that is killed costs the call that it ran and no other; README"
    ),
    "*ExecutorTest.test_broken_process_pool_traceback": (
        "a worker that is killed costs the call that it ran and no other; README"
    ),
    "*ExecutorTest.test_idle_process_reuse_*": _ALL_START,
    "*ExecutorTest.test_saturation": _ON_THE_WAY,
    "*ShutdownTest.test_processes_terminate": _ON_THE_WAY,
    "ProcessPoolForkProcessPoolExecutorTest.test_max_tasks_per_child": (
        "max_tasks_per_child is for fork as well; docs/how-to/executor.md, What changes"
    ),
    "*ExecutorTest.test_max_tasks_per_child_defaults_to_spawn_context": (
        "asks for the private _mp_context; max_tasks_per_child works under every method"
    ),
    "*ShutdownTest.test_cancel_futures": (
        "expects a call to be begun before a worker is ready: the standard class has calls "
        "marked as running that lie in its private queue"
    ),
    "*ShutdownTest.test_submit_after_interpreter_shutdown": (
        "looks for the name RuntimeError in what is printed; PoolClosed is a subclass of it"
    ),
    "*FailingInitializerTest.test_initializer": (
        "looks into what the standard class logs in a worker; the initializer's traceback is "
        "the cause of InitializerFailed here"
    ),
    "FailingInitializerResourcesTest.test_*": "runs the test above",
}

POOL: dict[str, str] = {
    "TestPoolNotLeakOnFailure.test_release_unused_processes": (
        "hands over a context whose Process is a mock; onecopy makes its workers by itself"
    ),
    "WithProcessesTestPool.test_imap_handle_iterable_exception": (
        "items that were taken before the iterable raised are computed, and their results come "
        "first: docs of Pool.imap"
    ),
    "WithProcessesTestPool.test_resource_warning": "sets the private _state",
    "WithProcessesTestPool.test_traceback": _TRACEBACK,
    "WithProcessesTestPoolWorkerErrors.test_unpickleable_result": (
        "takes a lambda for something that cannot be returned; it can be here"
    ),
    "WithProcessesTestPoolWorkerLifetime.test_pool_worker_lifetime": (
        "calls the private _repopulate_pool"
    ),
}

_CLASS = "asks for joblib's own class LokyBackend, which another backend cannot be"
_FILES = (
    "asks for joblib's memory-mapped files, which this backend does not make; docs/how-to/joblib.md"
)
_NESTED = "a task's own Parallel runs sequentially, not by threads; docs/how-to/joblib.md"

JOBLIB: dict[str, str] = {
    "test_backend_context_manager*loky*": _CLASS,
    "test_backend_hinting_and_constraints*": _CLASS,
    "test_parallel_config_no_backend": _CLASS,
    "test_parallel_config_params_explicit_set": _CLASS,
    "test_auto_memmap_on_arrays_from_generator*loky*": _FILES,
    "test_memmapping_leaks*loky*": _FILES,
    "test_parallel_isolated_temp_folders*loky*": _FILES,
    "test_managed_backend_reuse_temp_folder*loky*": _FILES,
    "test_memmapping_temp_folder_thread_safety": _FILES,
    "test_memmap_returned_as_regular_array*loky*": _FILES,
    "test_nested_backend_context_manager*loky*": _NESTED,
    "test_nested_parallelism_limit*loky*": _NESTED,
    "test_error_capture*loky*": "asks for the private attribute that holds loky's workers",
    "test_multiple_generator_call_separated_gc*loky-True*": (
        "expects a second call to fail while a generator of the first is not at its end; each "
        "has a pool of its own here: docs of onecopy.joblib"
    ),
    "test_initializer_reused*": (
        "expects a pool to outlive its Parallel object; here it ends with it or with the "
        "parallel_config block: docs/how-to/joblib.md"
    ),
    "test_parallel_pickling": "looks for the words of loky's message",
}

OF_SUITE = {"executor": EXECUTOR, "pool": POOL, "joblib": JOBLIB}
# Patterns for some versions alone: the first, and the last, of them.
VERSIONS: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}


def reason(suite: str, test: str) -> str | None:
    """The reason to leave a test out; None: it is run."""
    version = sys.version_info[:2]
    for pattern, why in OF_SUITE[suite].items():
        first, last = VERSIONS.get(pattern, (version, version))
        if first <= version <= last and fnmatchcase(test, f"*.{pattern}"):
            return why
    return None
