"""The causes in one call: each checks its parts, and estimates its own gain.

Estimates are arithmetic on measurements: how long the call would take without the cause, by the
schedule that the workers would then have. Time that other programs took from the functions
(``wanting``) is left out on both sides if possible, so that a busy machine is not a cause.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from math import ceil

import numpy as np

from .calls import Call
from .face import Advice, Look
from .words import count, human_bytes, items, percent, seconds

# The overhead of each task is some tens of microseconds: below this size it dominates.
_SMALL_TASK = 200e-6
# The program does not cause the library's own imports in workers.
_OURS = ("cloudpickle", "onecopy")
# The total cost of giving out one more item of a map, in seconds.
_ITEM = 0.5e-6
# Copying this many bytes per task takes as long as a short task.
_BIG = 1e6
# Seconds for a byte that ``oc.empty`` allocates, by one thread: 0.09 to 0.1 ns on a virtual machine
# with pages of 4 KB (480 MB in 45 to 50 ms, 2 GB in 170 to 196 ms). The truth bench measures it.
_FRESH = 1e-10
# Seconds for a byte of shared memory that is written for the first time, beyond its copy: the
# kernel gives pages of 4 KB one by one (160 MB in 68 to 71 ms, and in 22 ms when written again).
_FIRST_WRITE = 3e-10
# Seconds of a program's first ``share``, beyond the copy: what it imports (10 to 12 ms).
_FIRST_SHARE = 0.01
# Seconds of a task for a frame that goes by reference: packing and unpacking (100 tasks in 21 to 25 ms).
_BY_REFERENCE = 2e-4
# Seconds of the main process for a byte of results, beyond which they are no arrays, whose bytes it
# only maps: lists of numbers take 5 to 10 ns a byte.
_OBJECT = 2e-9
# Seconds of a worker for a byte of an array that it returns: the copy, and pages written first.
_COPY = 1e-9
# A task that takes this many times the median of its call is a straggler.
_STRAGGLER = 5.0
# A smaller share of a call's idle time, or of the time in its functions, is ignored.
_PART = 0.1
# The part of the CPU time of native threads that is spent on waiting in loops for those that have no
# CPU: 0.2 of 0.33 s of a matrix product by OpenBLAS.
_SPINNING = 0.5
# More items than this are not dealt out one by one: the last of them matters little.
_DEALT = 50_000
# The CPUs that threads use which compute one at a time.
_ONE_CPU = 0.75, 1.15
# Advice never asks for more workers than this many times the CPUs.
_MANY = 4


def _where(call: Call) -> str:
    """Return ``map of f at program.py:12``."""
    at = f" at {call.line.rpartition('/')[2]}" if call.line else ""
    return f"{call.method} of {_known(call)}{at}"


def _name(call: Call) -> str:
    """Return the function as the program writes it; ``f`` for a lambda."""
    known = _known(call)
    return call.words.function or ("f" if "<" in known else known)


def _items(call: Call) -> str:
    return call.words.items or "items"


def _known(call: Call) -> str:
    """Return the last part of the function's name."""
    return call.function.rpartition(".")[2].rpartition(">")[2] or call.function


def _whole(call: Call) -> float:
    """Return all of the workers' time that belongs to a call."""
    names = ("decode", "imported", "compute", "encode", "blocked")
    return sum(call.parts[name] for name in names) + sum(call.idle.values())


def _matters(look: Look, call: Call, part: float) -> bool:
    return part > _PART * _whole(call) and part / look.workers >= 0.5 * look.worth


def importing(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if every worker imports what one process could import for all."""
    spent = call.parts["imported"]
    spans = call.spans
    workers = len(np.unique(spans["worker"][spans["imported"] + spans["importing"] > 1_000_000]))
    # For all calls together, since each module is imported once: the call that spent most is named.
    took = {name: cpu / 1e9 for name, _, cpu in look.run.imports if name not in _OURS}
    names = [name for name, cpu in took.items() if cpu > 0.1 * sum(took.values())]
    if workers < 2 or not names or look.run.method in ("fork", "thread"):
        return
    if spent < 0.5 * look.parts.importing:
        return
    saves = sum(took.values()) * (1 - 1 / workers)
    inside = float(spans["importing"].sum()) > float(spans["imported"].sum())
    where = f"inside {_known(call)}" if inside else "to unpack the first task"
    yield Advice(
        "importing",
        "Every worker imports the same modules",
        f"{count(workers, 'worker')} imported {', '.join(names)} {where} ({_where(call)}), for "
        f"{seconds(spent / workers)} each.",
        f"Import once, before workers are forked: {look.pool}, "
        f"preload=[{', '.join(repr(name) for name in names)}]).",
        f"about {seconds(saves)} of CPU time, and the first tasks begin "
        f"{seconds(spent / workers)} sooner in a pool that is made early",
        cpu=saves,
        part="importing",
        line=call.line,
    )


def _copying(call: Call) -> float:
    """Return the workers' time that copies of large arguments and results took."""
    took = 0.0
    if call.parts["args_moved"] > _BIG * call.tasks:
        took += call.idle["packing"] + call.parts["decode"]
    if call.parts["result_moved"] > _BIG * call.tasks:
        took += call.idle["results"] + call.parts["encode"] + call.parts["blocked"]
    return took


def small(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if the overhead of tasks is longer than the tasks."""
    own = call.own / max(1, call.items)
    if call.tasks < 200 or own > _SMALL_TASK or call.tasks < 0.5 * call.items:
        return
    copying = _copying(call) / look.workers
    saves = call.wall - call.own / look.at_once - _ITEM * call.items - copying
    if saves < 0.5 * call.wall:
        return
    change = f"pool.map({_name(call)}, {_items(call)}) hands out many at once."
    if call.chunk:
        change = f"Leave chunksize={call.chunk} out: {change}"
    elif call.method in ("map", "starmap", "imap"):
        change = f"Give chunksize=, or do several items in one call of {_name(call)}."
    yield Advice(
        "small",
        "Tasks are too small",
        f"{_where(call)}: a task was in your function for {seconds(own)}, and the whole took "
        f"{seconds(call.wall / call.tasks)} a task.",
        change,
        look.gain(saves),
        saves,
        part="idle",
        line=call.line,
    )


def one_by_one(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if the program waits for each result before it submits the next task."""
    if call.depth != 1 or call.tasks < 2 * look.workers or look.workers < 2:
        return
    saves = call.wall - call.wall / look.at_once
    name = _name(call)
    yield Advice(
        "one-by-one",
        "One task at a time",
        f"{_where(call)}: of {count(call.tasks, 'task')} never more than one was with the pool, so "
        f"that {look.workers - 1} of {look.workers} workers had nothing to do.",
        f"Hand out all before the first result is asked for: results = pool.map({name}, {_items(call)}). "
        "Where a lock is held around the call, do not hold it while waiting.",
        look.gain(saves),
        saves,
        part="idle",
        line=call.line,
    )


def iterable(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if items come more slowly than workers finish them."""
    idle = call.idle["iterable"]
    if not _matters(look, call, idle) or look.workers < 2:
        return
    making = _owner(look, call, "iterable")
    saves = (_whole(call) - making - call.compute) / look.workers
    yield Advice(
        "iterable",
        "Workers wait for your iterable",
        f"{_where(call)}: making the {call.items:,} items took {seconds(making)} in the main "
        f"process; workers had nothing to do for {seconds(idle / look.workers)} of it each.",
        f"Let the tasks make their items: yield what they are made of (a path, an index), and "
        f"call a function that makes the item and then calls {_name(call)}.",
        look.gain(saves),
        saves,
        part="idle",
        line=call.line,
    )


def _owner(look: Look, call: Call, kind: str) -> float:
    """Return the seconds that the owner spent on something for this call."""
    whole = float(look.run.diary[kind].sum()) / 1e9
    idle = look.run.idle().sums()[kind]
    return whole * min(1.0, call.idle[kind] / idle) if idle else 0.0


def callbacks(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if callbacks, or the function of ``reduce``, run in the main process, one by
    one."""
    idle = call.idle["callbacks"]
    if not _matters(look, call, idle):
        return
    running = _owner(look, call, "callbacks")
    saves = (_whole(call) - running - call.compute) / look.workers
    yield Advice(
        "callbacks",
        "Workers wait for callbacks",
        f"{_where(call)}: callbacks (or reduce) ran for {seconds(running)} in the main process, "
        "which hands out no work meanwhile.",
        f"Do in the task what the callback does: a function that calls {_name(call)} and then "
        "the rest; or only put the result into a queue.Queue in the callback.",
        look.gain(saves),
        saves,
        part="idle",
        line=call.line,
    )


def handlers(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if log handlers of the main process are slower than the tasks that log."""
    idle = call.idle["handlers"]
    if not _matters(look, call, idle):
        return
    saves = idle / look.workers
    yield Advice(
        "handlers",
        "Results wait for log handlers",
        f"{_where(call)}: handling what tasks log and print took {seconds(_owner(look, call, 'handlers'))} "
        "in the main process; a task's result comes after what it has logged.",
        "Put a queue in front of the slow handler: logging.handlers.QueueHandler(q), and "
        "QueueListener(q, slow_handler).start(); or log less.",
        look.gain(saves),
        saves,
        part="idle",
        line=call.line,
    )


def arguments(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if large arguments are copied needlessly."""
    mine = [
        (kind, moved, whole) for site, kind, moved, whole in look.run.large if site == call.site
    ]
    idle, decode = call.idle["packing"] + call.idle["handing"], call.parts["decode"]
    if not mine or not _matters(look, call, idle + decode):
        return
    kind, moved, whole = max(mine, key=lambda each: each[1])
    copying = _owner(look, call, "packing")
    # Sharing copies them once; after that nothing is copied. That a frame is sorted before is not counted:
    # it was cut into groups before, which copies it too.
    once = copying * min(1.0, whole / moved) + _FIRST_WRITE * whole + _FIRST_SHARE
    if kind not in ("slices", "same"):
        once += _BY_REFERENCE * call.tasks
    beside = max(0.0, copying - call.idle["packing"] / look.workers)
    saves = (idle + decode) / look.workers + look.taken_by_owner * beside - once
    title, change = _ARGUMENTS[kind]
    yield Advice(
        kind,
        title,
        f"{_where(call)}: {human_bytes(moved)} in {count(call.tasks, 'task')} went to the workers as "
        f"copies; the main process copied for {seconds(copying)}, workers waited "
        f"{seconds(idle / look.workers)} and unpacked for {seconds(decode / look.workers)} each.",
        change.format(name=_name(call), data=_data(call, kind)),
        look.gain(saves),
        saves,
        part="idle",
        line=call.line,
    )


def _data(call: Call, kind: str) -> str:
    """Return the variable to share, as the program calls it if that is certain."""
    known = call.words.sliced if kind in ("slices", "pieces") else call.words.whole
    return known or ("x" if kind in ("slices", "same") else "df")


_ARGUMENTS = {
    "slices": (
        "Slices of a plain array are copied",
        "Share the array before it is sliced: {data} = oc.share({data}). Slices of it are passed by "
        "reference, and {name} does not change.",
    ),
    "same": (
        "The same array is copied for every task",
        "Share it once: {data} = oc.share({data}), and pass that to {name}: it is passed by reference.",
    ),
    "pieces": (
        "Pieces of a plain frame are copied",
        "Share the frame before it is sliced: {data} = oc.share({data}). Its slices and its columns are then "
        "passed by reference, and {name} does not change.",
    ),
    "same frame": (
        "The same frame is copied for every task",
        "Share it once: {data} = oc.share({data}), and pass that to {name}: it is passed by reference.",
    ),
    "tables": (
        "Frames are copied for every task",
        "A frame that every task gets, and slices of it: df = oc.share(df), and pass that. Groups "
        "and filtered rows are copies, also of a shared frame: sort it by the key once, share it, "
        "and pass slices of it to {name}.",
    ),
    "frames": (
        "Groups and filtered rows are copies",
        "What a group-by or a filter gives is a copy, also of a shared frame. Sort once, share, "
        "and pass slices, which are passed by reference: df = oc.share(df.sort_values(key)), "
        "then {name}(df.iloc[start:stop]). Of columns of one type that pandas keeps together pass "
        "each by itself: df[column].iloc[start:stop].",
    ),
    "objects": (
        "Large objects are pickled for every task",
        "If tasks get the same one, share it once: x = oc.share(x), and pass that to {name}: lists, "
        "dicts and text are then read in place. If each gets its own, let {name} read or make its "
        "data itself, and pass it a path or an index.",
    ),
    "own": (
        "Large arguments are copied",
        "Let {name} read or make its data itself and pass it a path or an index; or write the "
        "data into an array made by oc.empty and pass slices of that.",
    ),
}


def results(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if large results are copied and come one by one."""
    each = call.parts["result_moved"] / max(1, call.tasks)
    # Other programs take from packing the part that they take from the functions.
    quiet = call.own / call.compute if call.compute else 1.0
    encode, blocked = quiet * call.parts["encode"], quiet * call.parts["blocked"]
    packing = encode + blocked
    idle = call.idle["results"] + call.idle["handing"]
    if not _matters(look, call, packing + idle):
        return
    # Half of encoding is the copy; the other half, filling shared pages, remains.
    saves = (0.5 * encode + blocked + idle) / look.workers
    moved, unpacking = call.parts["result_moved"], _owner(look, call, "results")
    if each >= _BIG and unpacking > _OBJECT * moved:
        # As arrays they take some twice the bytes, which workers copy.
        saves = (packing + idle - 2 * _COPY * moved) / look.workers
        yield Advice(
            "objects back",
            "Results are many objects",
            f"{_where(call)}: {human_bytes(int(each))} per task are pickled one by one: for "
            f"{seconds(packing / look.workers)} in each worker, and for {seconds(unpacking)} back "
            "in the main process.",
            f"Have {_name(call)} return arrays in place of lists, or frames in place of dicts.",
            look.gain(saves),
            saves,
            part="results",
            line=call.line,
        )
        return
    if each < _BIG:
        if call.idle["results"] < 0.5 * (packing + idle):
            return
        yield Advice(
            "unpacking",
            "Workers wait while results are unpacked",
            f"{_where(call)}: the main process took {seconds(_owner(look, call, 'results'))} to unpack "
            f"{human_bytes(int(call.parts['result_moved']))} of results.",
            "Import what results consist of (pandas, polars) at the top of the program, and "
            "return fewer objects: arrays in place of lists.",
            look.gain(saves),
            saves,
            part="idle",
            line=call.line,
        )
        return
    # The array that is written instead is allocated by one thread, before the call.
    saves -= _FRESH * call.parts["result_moved"]
    yield Advice(
        "results",
        "Results are large",
        f"{_where(call)}: {human_bytes(int(each))} per task, "
        f"{human_bytes(int(call.parts['result_moved']))} altogether; packing and writing them took "
        f"{seconds(packing / look.workers)} of each worker.",
        f"Have {_name(call)} write into one array that all share: out = oc.empty(shape, dtype), "
        "then out[i:j] = ... in the task, and return nothing.",
        look.gain(saves),
        saves,
        part="results",
        line=call.line,
    )


def uneven(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if some workers have nothing to do at the end of a call."""
    if look.workers < 2 or call.depth < 2 or not _matters(look, call, call.idle["tail"]):
        return
    took = call.took()
    if call.chunk > 1:  # an item took as long as the others of its chunk, as far as is known
        took = took / _counts(call)
    longest, typical = float(took.max()), float(np.median(took))
    ideal = _rounds(call, lambda each: float(each.sum()) / look.workers)
    first = _rounds(call, lambda each: max(float(each.max()), float(each.sum()) / look.workers))
    now = _rounds_now(call)
    dealt = _rounds(call, lambda each: _dealt(each, look.workers)) if call.chunk > 1 else now
    straggles = longest > _STRAGGLER * typical and (len(took) >= 8 or call.chunk > 1)
    if straggles and (call.chunk <= 1 or now - dealt < 0.5 * (now - first)):
        span = call.spans[int(np.argmax(took))]
        which = items(int(span["start"]), int(span["stop"]), int(span["task"]))
        saves = now - first
        yield Advice(
            "straggler",
            "A straggler held everybody up",
            f"{_where(call)}: {which} took {seconds(longest)}, the median is {seconds(typical)}; the "
            f"others had nothing to do for {seconds(call.idle['tail'] / look.workers)} on average.",
            f"Hand out the longest first: pool.map({_name(call)}, sorted({_items(call)}, "
            f"key=size, reverse=True){', chunksize=1' if call.chunk > 1 else ''}); or cut that one up"
            + (f", which would save {seconds(now - ideal)}." if ideal < first else "."),
            look.gain(saves),
            saves,
            part="idle",
            line=call.line,
        )
    elif call.chunk > 1 or call.items < 4 * look.workers:
        yield _pieces(look, call, now - (dealt if call.chunk > 1 else ideal))


def _pieces(look: Look, call: Call, saves: float) -> Advice:
    if call.chunk > 1:
        title = "The work is dealt out in too large pieces"
        change = f"Leave chunksize={call.chunk} out: chunks are then cut by their measured time."
    else:
        title = "There are too few tasks"
        change = f"Cut the work of {_name(call)} into more and smaller tasks, of equal size."
    return Advice(
        "chunks" if call.chunk > 1 else "few",
        title,
        f"{_where(call)}: {count(call.tasks, 'task')} for {look.workers} workers; while the last of "
        f"them ran, the others had nothing to do for "
        f"{seconds(call.idle['tail'] / look.workers)} on average.",
        change,
        look.gain(saves),
        saves,
        part="idle",
        line=call.line,
    )


def _counts(call: Call) -> np.ndarray:
    """Return the number of items of each task."""
    found: np.ndarray = np.maximum(call.spans["stop"] - call.spans["start"], 1)
    return found


def _dealt(each: np.ndarray, workers: int) -> float:
    """Return the time of items that are given out one by one, in order."""
    if len(each) > _DEALT:
        return float(each.sum()) / workers
    ends = [0.0] * workers
    for took in each.tolist():
        heapq.heapreplace(ends, ends[0] + took)
    return max(ends)


def _rounds(call: Call, time: Callable[[np.ndarray], float]) -> float:
    """Return the time of a call that is repeated, with ``time`` of the items of each round: of tasks,
    unless the program has given the size of chunks."""
    took, tasks = call.took(), call.spans["task"]
    if call.chunk > 1:
        counts = _counts(call)
        order = np.argsort(call.spans["start"], kind="stable")
        took = np.repeat((took / counts)[order], counts[order])
        tasks = np.repeat(tasks[order], counts[order])
    if not call.method.startswith(("map", "starmap", "imap")):
        return time(took)
    return sum(time(took[tasks == task]) for task in np.unique(tasks))


def _rounds_now(call: Call) -> float:
    """Return the measured time: the busiest worker's, in each round."""
    took, spans = call.took(), call.spans
    rounds = spans["task"] if call.method.startswith(("map", "starmap", "imap")) else spans["site"]
    keys = rounds.astype("u8") << np.uint64(32) | spans["worker"]
    found, rows = np.unique(keys, return_inverse=True)
    sums = np.bincount(rows, took)
    return sum(float(sums[found >> np.uint64(32) == each].max()) for each in np.unique(rounds))


def pausing(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if functions wait and leave the CPUs free: more of them can wait at the same
    time."""
    own = call.own
    if call.pausing < 0.5 * own or not _matters(look, call, call.pausing):
        return
    # The reasons why programs that it has started wait are unknown.
    if call.parts["helped"] > 0.1 * call.pausing:
        return
    if sum(call.idle.values()) > 0.3 * _whole(call):  # there are spare workers already
        return
    if look.run.hosts:  # each has the number of workers that its engine was given
        return
    more = min(call.items, _MANY * max(look.run.cpus, look.workers))
    if more <= look.workers:
        return
    mean = own / call.items
    now = ceil(call.items / look.workers) * mean
    then = max(ceil(call.items / more) * mean, call.parts["running"] / look.run.cpus)
    saves = now - then
    yield Advice(
        "pausing",
        "Your function waits more than it computes",
        f"{_where(call)}: {percent(call.pausing, own)} of {seconds(own)} inside {_known(call)} it waited "
        "(for a disk, the network, a lock, a clock) and used no CPU.",
        f"More workers wait at the same time: oc.Pool({more}); or threads, which cost no memory: "
        f'oc.Pool({more}, method="thread"). Not if they wait for one another, at a lock: then hold it '
        "for less.",
        look.gain(saves),
        saves,
        part="function",
        line=call.line,
    )


def gil(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if threads compute, but never two at the same time."""
    running = call.parts["running"]
    if look.run.method != "thread" or look.at_once < 2:
        return
    # Of one CPU all, and of the others nothing.
    if not _ONE_CPU[0] * call.wall < running < _ONE_CPU[1] * call.wall:
        return
    if running > 0.7 * call.compute:
        return
    saves = call.wall - running / look.at_once
    yield Advice(
        "gil",
        "Threads compute one at a time",
        f"{_where(call)}: {look.workers} threads used {running / call.wall:.1f} CPUs; Python's code holds "
        "the interpreter's lock (GIL), and the others wait for it.",
        'Processes compute at the same time: leave method="thread" out.',
        look.gain(saves),
        saves,
        part="function",
        line=call.line,
    )


def threads(look: Look, call: Call) -> Iterator[Advice]:
    """Yield advice if the native threads of several workers compete for the CPUs."""
    compute, cpu, helped = (call.parts[name] for name in ("compute", "cpu", "helped"))
    if look.workers < 2 or helped < 0.25 * cpu:
        return
    each = 1 + helped / max(cpu - helped, 1e-9)
    # Where the main threads find a CPU, it is their helpers that wait for one. (Main threads that
    # wait do so for programs, whose CPU time counts as help too.)
    full = cpu > 0.8 * look.run.cpus * call.wall and cpu - helped > 0.3 * compute
    crowded = full and each * look.workers > 1.5 * look.run.cpus
    if call.parts["wanting"] < 0.15 * compute and not crowded:
        return
    saves = max(call.wall - cpu / look.at_once, call.parts["wanting"] / look.workers * 0.5)
    if crowded:
        saves = max(saves, _SPINNING * helped / look.at_once)
    yield Advice(
        "threads",
        "Workers' own threads fight for the CPUs",
        f"{_where(call)}: {look.workers} workers on {count(look.run.cpus, 'CPU')}, and in each some "
        f"{each:.1f} threads computed at once; they used {percent(cpu, look.run.cpus * call.wall)} of "
        f"all CPUs, and for {percent(call.parts['wanting'], compute)} of the time in the function no "
        "CPU was free for its main thread.",
        "One thread per worker: do not set OMP_NUM_THREADS (a pool then gives each worker its "
        "share), or set it to 1; or threadpoolctl.threadpool_limits(1) in the task.",
        look.gain(saves),
        saves,
        part="function",
        line=call.line,
    )


CAUSES: tuple[Callable[[Look, Call], Iterator[Advice]], ...] = (
    *(importing, small, one_by_one, iterable, callbacks, handlers, arguments, results),
    *(uneven, gil, pausing, threads),
)
"""In the order in which they explain: of those about the same part of a call's time the first
is told."""
