"""The records: twelve words of 64 bits, of which the meaning depends on the kind.

The first three words are the same in all: the time at which it began (nanoseconds of
CLOCK_MONOTONIC), kind | what << 8 | thread << 32, and last, so that a reader never takes a
half-written record for a whole one, the sequence number plus one. ``a`` to ``i`` stand between
them. A name is an index into the process's side file.
"""

BORN = 1
"""A process begins. a: way (FRESH, FORKED), b: parent, c: anonymous bytes, d: command line,
e: version, as 311; f: executable."""
OUT = 2
"""A message was pickled and written. a: pickling, b: writing (waiting for the lock with it),
c: bytes, d, e: number of the task, f: function | items << 32, g: channel, h: CPU of the task (0: not
read), i: when the task began."""
IN = 3
"""A message was read; t0: its first bytes were there. a: reading the rest, b: unpickling, c: bytes,
d, e: number of the task, f: failed, g: channel, h: when this thread began to wait for it."""
START = 4
"""``Process.start``. a: duration, b: pid, c: daemon, d: method, e: site, f: name of the process,
g: CPU seconds of the parent so far."""
BOOT = 5
"""The child is about to run its target. a: CPU of the process so far, b: parent, d: name, e: class,
f: the target's name."""
END = 6
"""The child's target has ended. a: exit code, b: CPU of the process, c: resident anonymous bytes."""
PREPARE = 7
"""A child has made the main module. a: duration, b: CPU, c: modules, d: packages, as text."""
FORK = 8
"""``os.fork`` in the parent. a: duration, b: native threads, c: Python threads, d: their names,
e: site."""
EXIT = 9
"""The parent has seen a child's end. b: pid, c: exit code, in 32 bits."""
PROXY = 10
"""A round trip to a manager. a: duration, b: name of type and method, c: site, d: how many calls it
stands for."""
SHM = 11
"""A ``SharedMemory``. a: MADE, ATTACHED, UNLINKED, or SEMAPHORE; b: bytes, d: name, e: site."""
LOGCONF = 12
"""What this process's loggers would do has changed. d: the settings, as text."""
SUBMIT = 13
"""The place from which a pool is given work has changed. a: number of the first task from there,
c: POOL, EXECUTOR; d: site, e: identity of the pool, f: name of the method."""
THREADTASK = 14
"""A task, or the whole life, of a thread. a: duration, b: CPU of the thread, c: 1 for a life,
d: name, e: site of the pool, f: waiting for a CPU, g: voluntary switches of context."""
RNG = 15
"""NumPy's global generator. a: task, b: checksum of its state, d: the state, as text; e: of a process
that os.fork has made, the place of that."""
GLOBALS = 16
"""A task has changed a global of the program's modules, or an attribute of a class or object there.
a: task, d: name, type, before, after and the module's file, as text."""
ERROR = 17
"""a: PICKLE, UNPICKLE, HOOK or NO_ROOM; d: the text, e: site."""
THREAD = 18
"""A thread's first record. a: its identity, b: its number here, c: native identity, d: name."""
POOL = 19
"""A pool was made. a: duration, b: workers, c: POOL, EXECUTOR, LOKY; d: site, e: method, f: identity,
g: channel of tasks, h: channel of results, i: tasks a worker."""
BIG = 20
"""What is heavy in a message; same t0 as its OUT. a: bytes, b: identity of the base, c: bytes of the
message, d: type, variable and class of the method's object, as text; e, f: number of the task,
g: what | checksum << 8, h: address, i: bytes of the base."""
ENDED = 21
"""The parent has ended a child. a: signal, b: pid."""
BURST = 22
"""Messages were passed through unrecorded. a: how many out, b: how many in, c: how long."""
READY = 23
"""A pool's initializer has run. a: duration."""
NAMED = 24
"""A variable of the place a pool is given work from. a: bytes, b: identity, d: name, e: type,
f: site, g: 1 when it is a global."""
QUEUE = 25
"""A queue, or a pipe, of the program's own was made. a: channel, b: largest size, d: site, e: class,
f: the other end's channel, where it is another."""
CLOSED = 26
"""A pool was ended by ``terminate``. a: identity, b: duration."""
MEMMAP = 27
"""joblib wrote an array to a file, to be mapped. a: duration, b: bytes, d: folder."""
STARTED_WITH = 28
"""A process's arguments, or a pool's initargs, were pickled for a fresh interpreter. a: pickling,
b: bytes, d: type of what is heavy and its variable, as text; e: its identity, f: its bytes."""
EAGER = 29
"""An iterator was consumed to its end by a call of map. a: duration, b: items, or an executor's tasks,
c: anonymous bytes more, d: site, e: its type, f: identity of the pool, g: A_POOL, EXECUTOR, LOKY,
h: CPU of the process meanwhile."""
MAIN = 30
"""The globals of the program's modules. a: in a worker, before its first task; d: the main module's file,
and name, type and size of each, then the name and file of each other module, and its globals, as text."""
REPEATED = 31
"""A forked process comes to its normal end, and writes what its parent had not yet written at the
fork. a: bytes, or characters, of standard output; d: site of the fork."""
ROTATED = 32
"""A log file was renamed, to begin a new one. d: the file."""
JOINS = 33
"""A process begins to wait for a child's end, without a limit. b: pid."""

FRESH, FORKED = range(2)
OTHER, TASK, RESULT = range(3)
A_POOL, EXECUTOR, LOKY = range(1, 4)
MADE, ATTACHED, UNLINKED, SEMAPHORE = range(1, 5)
PICKLE, UNPICKLE, HOOK, NO_ROOM = range(1, 5)

SIZE = 96
HEAD = 8192
"""Bytes in front of the records: counters, from COUNTERS on, of sixteen bytes each."""
CURRENT = 64
"""In the head, nine words: the task that a worker is at, or was at last. How many it has begun, number of
the task (two words), when it began, nanoseconds of all that had ended before, and once more how many;
function | items << 32; channel; when the last ended. See ``current``."""
COUNTERS, SLOTS = 1024, 440
ROOM = 43_000
"""Records in a ring, 4 MB: the observer empties it many times before it is full."""
