"""The meaning of each finding, the figures it is made from, and how its saving is estimated."""

from __future__ import annotations

from textwrap import fill

_TEXTS = {
    "serial-sender": """One thread of the parent pickles every task's arguments and writes them to
        a pipe, and each worker reads and unpickles them. It is found when this sender was busy more
        than half of the pool's time, at least 4 MB went that way, and workers hardly computed at
        the same time. Saved is the pool's time, less: until the first worker was ready; the tasks'
        own work dealt out to the workers; 150 µs a task; one copy of the data into shared memory at
        1.8 GB/s; and 0.1 s for importing onecopy.""",
    "arguments-pickled": """As serial-sender, where the sender is not the only cause: it, or the
        workers' reading and unpickling, took more than 15 % of the time. Estimated alike.""",
    "results-pickled": """Results of 50 kB and more are pickled by workers and unpickled by one
        thread of the parent, which took more than 15 % of the time. Saved is what is left when the
        result is not sent: reduce it in the worker, or write it into shared memory. By the
        import alone a copy on either side remains.""",
    "queue-pickled": """Objects of 200 kB and more went through the queues or pipes that one line of
        the program makes, and pickling, writing and reading answers took their sender more than 20 %
        of the program's time. Saved is nine tenths of that, and of its waiting while readers
        unpickled, and pickled their answers.""",
    "tiny-tasks": """At least 500 tasks of less than 300 µs, around which more time is spent than in
        them. A message costs the pool's time divided by the number of tasks; the chunk size makes
        it a twentieth of a chunk's work, with four chunks a worker at least.""",
    "straggler": """Workers had nothing left to do for more than 15 % of the pool's time, while the
        last piece was at work. Best is all the work divided among the workers, or the longest task
        where nothing is in chunks.""",
    "eager-input": """Pool.map made a list of an iterator first, for more than 10 % of the program's time,
        while its workers waited. Saved is the lesser of that time and the tasks' own, where the CPUs
        are enough for both. Or 50 MB and more were added to memory while map consumed an iterator.""",
    "start-up": """Until the first worker was ready more than half a second and 30 % of the pool's
        time passed; a quarter of a second, if the main module took most of it. Under spawn and
        forkserver the main module is run again in each worker: saved is that part, as the first
        worker took it. Or workers were replaced after few tasks each (maxtasksperchild), and
        starting others took more than 30 % of the workers' time.""",
    "start-arguments": """Arguments of processes, or a pool's initargs, were pickled for each fresh
        interpreter, 8 MB and more, and starting took more than 15 % of the program's time. Saved is
        that, less an ordinary start each, and one copy into shared memory.""",
    "pool-in-loop": """Three pools or more were made at one place. Saved is what it took to make them,
        until the first worker was ready, and to terminate them, all but once.""",
    "not-parallel": """Processes were each joined before the next was started, or each task was handed
        out after the one before had come back. Saved is the difference to all of them at once, on
        the CPUs that there are.""",
    "alternating": """The main process and a child both computed, and hardly ever at the same time.""",
    "manager-chatter": """At least 200 calls of a manager's proxies took more than 20 % of the life of
        those who made them. Saved is what the slowest of them spent in calls.""",
    "gil": """Threads were at work at the same time, and together used about one CPU; what they did
        not use was spent asking for the GIL, not waiting for a CPU. Saved is the difference to
        processes on the CPUs that there are, start-up included.""",
    "too-many-threads": """Workers times their busy threads are more than the CPUs, and these threads
        waited for a CPU more than 20 % of the time in which they wanted one. Not found where other
        programs used more than 30 % of the CPUs.""",
    "more-workers-than-cpus": """As too-many-threads, with one busy thread a worker: as fast with fewer
        of them, in less memory.""",
    "copy-on-write": """Forked processes have written to pages that they inherited, which the kernel
        then copies: private dirty bytes, less what was added since the fork. Reading a Python object
        writes its reference count.""",
    "gc-copies": """Page faults during collections of garbage in forked processes, 50 MB and 20 % of what
        they inherited at least. Collections of the youngest
        containers are not counted. It stands for copy-on-write when it is more than half of that.""",
    "rss-misleads": """The sum of RSS over processes counts each shared page once for each of them.
        PSS divides it among them, so that the sum is what there is.""",
    "leaked-shared-memory": """A SharedMemory was made, and no process called unlink. The resource
        tracker removes it at the program's end, when it is not killed.""",
    "leaked-semaphores": """Locks of this program stayed in /dev/shm.""",
    "worker-grows": """A worker's own memory grew steadily between the first fifth of its time and the
        end, by 50 MB or more.""",
    "results-pile-up": """map keeps all results until the last is there.""",
    "joblib-memmaps": """joblib writes large arguments into files, which workers map. That costs a
        copy, and room on a disk or in /dev/shm.""",
    "worker-killed": """A worker ended by a signal that its parent did not send, or in the middle of a
        task. multiprocessing.Pool replaces it and never gives the task's result.""",
    "stuck-task": """A task had not ended when the program was interrupted or gave up: it ran for 2 seconds
        and 20 times the median of the others at least, all of which had ended 1 second and 10
        medians before.""",
    "full-shared-memory": """A process ended by SIGBUS, and /dev/shm had less than 1 MB or 2 % left, or less
        free at the beginning than the program's segments need; or a segment could not be made for
        want of room.""",
    "process-failed": """A process ended with exit code 1, and nothing looks at it.""",
    "not-picklable": """An argument or a result could not be pickled.""",
    "not-unpicklable": """A message arrived and could not be rebuilt.""",
    "consumers-died": """Nothing runs; a process waits for room in a pipe, and those that read it
        have died.""",
    "join-before-drain": """Nothing runs; a process waits for room in a pipe to write what it has put
        into a queue, and the process that should read the queue waits for the writer's end.""",
    "fork-with-threads": """The program forked while threads of its own were running. A lock that one of
        them held stays locked in the child.""",
    "logs-lost": """Workers made log records that their own settings kept out or gave to no handler, and
        that the main process would have written.""",
    "logs-unformatted": """Workers had no handler, and logging's last resort wrote the bare message.""",
    "logs-doubled": """A worker's records reached more handlers than there are files to write to.""",
    "logs-rotated": """Several processes wrote to one file through a rotating handler, and it was renamed
        at least once. Each process renames it by itself, while the others have the old file open.""",
    "output-doubled": """A process forked by os.fork, without multiprocessing, had characters of standard
        output in memory at the fork, and came to a normal end, where they are written. Counted is
        what the text stream holds; what has gone on to its buffer is not seen.""",
    "not-inherited": """A function that a worker ran reads a global of the main module whose type, size or
        number was another in the main process, when the worker was started by spawn or
        forkserver. Names that are not there at all count where a task raised NameError, or the process
        ended with exit code 1; names that such a function sets itself do not count.""",
    "global-changed": """A task changed a global of the main module, in its own process. It is wrong where
        the main module's source reads it afterwards; else it is a note.""",
    "same-random-numbers": """NumPy's global generator had the same state in several workers when they
        began, and a later state of each can be reached from it by drawing.""",
    "machine-busy": """Other programs used more than a quarter of the CPUs. Parallel changes need CPUs: no
        saving is promised.""",
}
NAMES = tuple(_TEXTS)


def text(name: str) -> str | None:
    """The explanation of a finding; None when there is none of that name."""
    found = _TEXTS.get(name)
    return fill(" ".join(found.split()), 78) if found is not None else None
