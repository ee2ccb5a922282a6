"""The findings that each program must have, those that it may have, and how to run them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onecopy._doctor.findings import FAULT

HERE = Path(__file__).parent
# True as well, and a matter of the run's size.
_ALWAYS = frozenset({"machine-busy", "rss-misleads"})
# Seconds for programs that hang: the doctor asks for two of them after the last thing that happened,
# and on a busy machine the program needs several to come that far.
_HANGS = 10.0


@dataclass(frozen=True)
class Program:
    """One program.

    Attributes:
        name: its file, without the ending; args: its arguments.
        must: the finding that has to come first; '' : none above a note.
        may: what is true as well.
        stop: seconds after which it is interrupted, for those that hang.
        cured: the cure saves time, so that the prediction can be compared.
        quick: it is among those that the normal tests run.
        room: megabytes of its own /dev/shm, in a namespace of its own; 0: the machine's.
        calm: where others have the CPUs, it is not to be told from them, and not found.
    """

    name: str
    must: str
    may: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    stop: float = 60.0
    cured: bool = False
    quick: bool = False
    calm: bool = False
    room: int = 0

    @property
    def title(self) -> str:
        """With its arguments."""
        return " ".join((self.name, *self.args))


PROGRAMS = (
    Program("serial_slices", "serial-sender", cured=True, quick=True),
    Program("serial_slices", "serial-sender", ("start-up",), ("spawn",)),
    Program("repeated_table", "serial-sender", cured=True),
    Program("whole_model", "serial-sender", cured=True),
    Program("frame_in_partial", "serial-sender", cured=True, quick=True),
    Program("big_results", "results-pickled", cured=True, quick=True),
    Program("tiny_items", "tiny-tasks", cured=True),
    Program("tiny_submits", "tiny-tasks", cured=True),
    Program("straggler", "straggler", cured=True),
    Program("eager_input", "eager-input", cured=True, quick=True),
    Program(
        "eager_input",
        "eager-input",
        ("arguments-pickled", "serial-sender"),
        ("executor",),
    ),
    Program("heavy_main", "start-up", cured=True),
    Program("start_arguments", "start-arguments", ("start-up",), cured=True),
    Program("worker_per_task", "start-up", cured=True),
    Program("pool_per_batch", "pool-in-loop", cured=True),
    Program("pool_in_helper", "pool-in-loop", cured=True),
    Program("join_in_loop", "not-parallel", cured=True, quick=True),
    Program("apply_in_loop", "not-parallel", cured=True),
    Program("result_in_loop", "not-parallel", cured=True),
    Program("gil_tasks", "gil", cured=True, quick=True),
    Program("gil_threads", "gil", cured=True),
    Program("gil_thread_pool", "gil", cured=True, quick=True),
    Program("gil_coroutines", "gil", cured=True),
    Program("manager_list", "manager-chatter", cured=True, quick=True),
    Program("queue_of_frames", "queue-pickled", ("alternating",), cured=True),
    Program("pipes_in_turn", "queue-pickled", ("alternating",), cured=True),
    Program("crowded_blas", "too-many-threads", calm=True),
    Program("copied_people", "copy-on-write", quick=True),
    Program("leaked_segment", "leaked-shared-memory", quick=True),
    Program("worker_keeps", "worker-grows", ("global-changed",)),
    Program("log_lost", "logs-lost", quick=True),
    Program("log_lost", "logs-lost", args=("forkserver",)),
    Program("log_lost", "", args=("fork",)),
    Program("log_doubled", "logs-doubled", quick=True),
    Program("log_queue_doubled", "logs-doubled", quick=True),
    Program("lost_updates", "global-changed", quick=True),
    Program("lost_updates", "global-changed", args=("spawn",)),
    Program("lost_count", "global-changed"),
    Program("lost_attributes", "global-changed", quick=True),
    Program("lost_attributes", "global-changed", args=("table",), quick=True),
    Program("lost_attributes", "global-changed", args=("array",), quick=True),
    Program("same_random", "same-random-numbers", quick=True),
    Program("forks_random", "same-random-numbers", quick=True),
    Program("gc_copies", "gc-copies", quick=True),
    Program("output_doubled", "output-doubled", quick=True),
    Program("logs_rotated", "logs-rotated", ("start-up",), quick=True),
    Program("not_inherited", "not-inherited", ("start-up",), quick=True),
    Program("not_inherited", "not-inherited", ("start-up",), ("silent", "spawn")),
    Program("not_inherited", "not-inherited", ("start-up",), ("error",), quick=True),
    Program("not_inherited", "not-inherited", args=("process",), quick=True),
    Program("killed_worker", "worker-killed", stop=_HANGS),
    Program("killed_worker", "worker-killed", args=("executor",), quick=True),
    Program("consumers_die", "consumers-died", stop=_HANGS),
    Program("full_queue", "consumers-died", stop=_HANGS, quick=True),
    Program("bad_exception", "not-unpicklable", quick=True),
    Program("local_function", "not-picklable", quick=True),
    Program("join_before_drain", "join-before-drain", stop=_HANGS),
    Program("join_several", "join-before-drain", stop=_HANGS, quick=True),
    Program("stuck_task", "stuck-task", stop=_HANGS, quick=True),
    Program("stuck_task", "stuck-task", stop=_HANGS, args=("search",)),
    Program("stuck_task", "stuck-task", stop=_HANGS, args=("search", "executor")),
    *(
        # Its worker dead, the Pool does not end by Ctrl-C either.
        Program(
            *(name, must, (), (*more, *kind)),
            stop=_HANGS if name == "short_stuck" else 60.0,
            calm=must == "straggler",
            quick=(*more, *kind) != ("killed",),
        )
        for kind in ((), ("executor",))
        for name, must, *more in (
            ("short_straggler", "straggler"),
            ("short_apply", "not-parallel"),
            ("short_stuck", "stuck-task"),
            ("short_stuck", "worker-killed", "killed"),
            ("good_short_tasks", ""),
            ("good_short_tasks", "", "pausing"),
        )
    ),
    Program("full_shared_memory", "full-shared-memory", ("leaked-shared-memory",), room=16),
    Program(
        "full_shared_memory",
        "full-shared-memory",
        ("leaked-shared-memory",),
        ("worker",),
        room=16,
        quick=True,
    ),
    Program("fork_with_thread", "fork-with-threads", quick=True),
    Program("many_workers", "", ("more-workers-than-cpus",)),
    Program("in_turn", "", ("alternating",)),
    Program("good_pool", "", quick=True),
    Program("good_forks", "", quick=True),
    Program("good_fresh_workers", "", ("start-up", "global-changed"), quick=True),
    Program("good_log_listener", ""),
    Program("good_listener_first", "", quick=True),
    Program("good_memo", "", quick=True),
    Program("good_waiting", ""),
    Program("good_threads", ""),
    Program("good_thread_pool", "", quick=True),
    Program("good_shared_memory", ""),
    Program("good_shared_memory", "", args=("spawn",)),
    Program("good_onecopy", ""),
    Program("good_beside_pool", "", ("more-workers-than-cpus",), quick=True),
    Program("good_joblib", ""),
    Program("good_large_array", ""),
    Program("good_unrelated_global", "", quick=True),
    Program("good_worker_state", "", ("global-changed",), quick=True),
    Program("good_phases", ""),
)


def wrong(program: Program, found: dict[str, Any]) -> str:
    """The differences from what must be, in words; '' if there are none."""
    above = [each["id"] for each in found["findings"] if each["level"] != "note"]
    every = {each["id"] for each in found["findings"]}
    false = [each for each in above if each not in (program.must, *program.may, *_ALWAYS)]
    said = [note for note in found["notes"] if note.startswith(FAULT)]
    if program.calm and found["foreign"] > 0.25:
        return ""
    if program.must and program.must not in every:
        said.append(f"missing {program.must}")
    elif program.must and above[:1] != [program.must] and program.may == ():
        said.append(f"first is {above[:1]}")
    if false:
        said.append(f"false {', '.join(false)}")
    return "; ".join(said)


def doctored(program: Program, *options: str, python: str = sys.executable) -> dict[str, Any]:
    """The doctor's findings."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "found.json")
        words = ["--quiet", "--json", report, *options]
        if python != sys.executable:
            words += ["--python", python]
        words += ["--stop-after", str(program.stop)]
        script = str(HERE / "programs" / f"{program.name}.py")
        command = [sys.executable, "-m", "onecopy", "doctor", *words, script, *program.args]
        # A stream that keeps nothing for later has nothing that a fork could copy.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        # Not a pipe: a process that outlives the program would hold it open.
        with open(os.path.join(folder, "stderr"), "w+") as errors:
            subprocess.run(
                [*_with_room(program), *command],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                check=False,
                timeout=120,
                env=env,
            )
            errors.seek(0)
            said = errors.read()
        if not os.path.exists(report):
            raise AssertionError(f"no report of {program.title}:\n{said}")
        found: dict[str, Any] = json.loads(Path(report).read_text())
        found["stderr"] = said
        return found


def _with_room(program: Program) -> list[str]:
    """The words before a command that give it a /dev/shm of its own."""
    if not program.room:
        return []
    mount = f'mount -t tmpfs -o size={program.room}m tmpfs /dev/shm && exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]


def can_run(program: Program) -> bool:
    """Return False where a namespace of its own may not be made, and the program needs one."""
    if not program.room:
        return True
    words = [*_with_room(program), "true"]
    return shutil.which("unshare") is not None and not subprocess.run(words, check=False).returncode


def timed(folder: str, program: Program) -> float:
    """Seconds that a program takes by itself."""
    begin = time.perf_counter()
    script = str(HERE / folder / f"{program.name}.py")
    subprocess.run([sys.executable, script, *program.args], capture_output=True, check=False)
    return time.perf_counter() - begin


def busy() -> float:
    """CPU seconds that the machine has spent, without those of our children."""
    words = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = (sum(words) - words[3] - words[4]) / os.sysconf("SC_CLK_TCK")
    return whole - used.ru_utime - used.ru_stime
