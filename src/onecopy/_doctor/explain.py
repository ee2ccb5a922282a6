"""The meaning of each finding, the figures it is made from, and how its saving is estimated."""

from __future__ import annotations

from textwrap import fill

_TEXTS = {
    "serial-sender": """Workers wait for the parent: one thread of it pickles the arguments of every task and
        writes them to a pipe. Share what is large once (oc.share): then a task takes a reference
        along. Found when that thread was busy for more than half of the pool's time, at least 4
        MB went that way, and workers hardly computed at the same time. Saved is the pool's time,
        less: the time until the first worker was ready; the tasks' own work dealt out to the
        workers; 150 µs a task; one copy of the data into shared memory at 1.8 GB/s; and 0.1 s for
        importing onecopy.""",
    "arguments-pickled": """Large arguments are pickled, written, read and unpickled with each task. Share them once.
        Found when the parent's sending, or the workers' reading and unpickling, took more than 15
        % of the time, but is not the only cause, as in serial-sender. The saving is estimated as
        there.""",
    "results-pickled": """Large results are pickled by workers, and unpickled by one thread of the parent. Return
        the sum instead of the parts, or write into shared memory (oc.empty). Found when results
        of 50 kB and more took more than 15 % of the time. Saved is all of that; with onecopy's
        pool in the place of the other, and no other change, a copy on either side remains.""",
    "queue-pickled": """Large objects go through a queue or pipe of the program's own, pickled and copied. Put
        them into an array that all processes share, and send their numbers. Found when objects of
        200 kB and more, through the queues or pipes that one line makes, took their sender more
        than 20 % of the program's time. Saved is nine tenths of that, and of its waiting while
        readers unpickled, and pickled their answers.""",
    "tiny-tasks": """Handing a task out and back takes longer than the task. Send many at a time: chunksize.
        Found at 500 tasks of less than 300 µs, around which more time was spent than in them. A
        message costs the pool's time divided by the number of tasks; the chunk size that is shown
        makes it a twentieth of a chunk's work, with four chunks a worker at least. Saved is the
        rest.""",
    "straggler": """The last piece of work kept one worker busy while the others had none. Make smaller
        pieces, and begin with the longest. Found when workers had nothing left to do for more
        than 15 % of the pool's time. Saved is the difference to all the work divided among the
        workers, or to the longest task where nothing is in chunks.""",
    "eager-input": """map reads all of an iterator before it gives a result: workers wait meanwhile, and all
        items are in memory. Use imap, or a bounded map. Found when Pool.map made a list for more
        than 10 % of the program's time while its workers waited, or when 50 MB and more were
        added to memory. Saved is the lesser of that time and the tasks' own, where the CPUs are
        enough for both.""",
    "start-up": """The pool's time went into starting workers: fresh interpreters that import, and run the
        main module again. Put what only the parent needs under the guard, and keep one pool.
        Found when the first worker was ready after more than half a second and 30 % of the pool's
        time; after a quarter of a second, if the main module took most of it. Saved is that
        module's part, as the first worker took it. Or workers were replaced after few tasks each
        (maxtasksperchild), which took more than 30 % of their time.""",
    "start-arguments": """What each process, or a pool's initializer, is given at its start is pickled for every one
        of them. Share it before. Found when 8 MB and more were pickled for fresh interpreters,
        and starting took more than 15 % of the program's time. Saved is that, less an ordinary
        start each, and one copy into shared memory.""",
    "pool-in-loop": """The same line makes a pool again and again. One pool does for all the work. Found when
        three or more were made there. Saved is what it took to make them, until the first worker
        was ready, and to terminate them, all but once.""",
    "not-parallel": """One task, or process, is waited for before the next is begun. Begin them all, then ask for
        results. Found when each process was joined before the next was started, or each task was
        handed out after the one before had come back. Saved is the difference to all of them at
        once, on the CPUs that there are.""",
    "alternating": """The main process and a child both computed, and hardly ever at the same time. If the one
        does not need what the other makes, they can go side by side.""",
    "manager-chatter": """Each use of a manager's list, dict or lock is a message to another process and back. Read
        shared data in place (oc.share), and return results. Found when at least 200 calls took
        more than 20 % of the life of those who made them. Saved is what the slowest of them spent
        in calls.""",
    "gil": """Threads run Python code, of which the interpreter runs one at a time (the GIL). Use
        processes. Found when threads were at work at the same time, used about one CPU together,
        and spent the rest asking for the GIL, not waiting for a CPU. Saved is the difference to
        processes on the CPUs that there are, start-up included.""",
    "too-many-threads": """Each worker's BLAS or OpenMP starts threads of its own, more than there are CPUs together.
        Give each worker one. Found when threads waited for a CPU for more than 20 % of the time
        in which they wanted one; not where other programs used more than 30 % of the CPUs. What
        it gains is not known beforehand.""",
    "more-workers-than-cpus": """More workers compute than there are CPUs: as fast with fewer of them, in less memory.
        Found as too-many-threads is, with one busy thread a worker.""",
    "copy-on-write": """Forked processes share their parent's memory until one writes to it, and reading a Python
        object writes its reference count: each gets a copy, page by page. Share the data instead,
        or keep it in arrays. Found by private dirty bytes, less what was added since the fork: 50
        MB and a fifth of what they inherited.""",
    "gc-copies": """The collector of garbage goes through all objects that a forked process has from its
        parent, writes to each, and so copies their pages. gc.freeze() before the fork keeps it
        away from them. Found by page faults during collections, 50 MB and 20 % of what was
        inherited at least; those of the youngest containers are not counted. It stands for copy-
        on-write when it is more than half of that.""",
    "rss-misleads": """Tools that add up the RSS of processes count each shared page once for each of them; PSS
        divides it among them, so that the sum is what there is. Nothing has to be changed.""",
    "leaked-shared-memory": """A SharedMemory was made, and no process called unlink. The resource tracker removes it at
        the program's end, with a warning, if that is not killed; until then it takes memory.""",
    "leaked-semaphores": """Locks of this program stayed in /dev/shm: something was killed before it could remove
        them.""",
    "worker-grows": """Something that the tasks' function keeps makes workers larger with every task: a cache, a
        list of the module, a default argument. Found when a worker's own memory grew steadily, by
        50 MB or more between the first fifth of its time and the end.""",
    "results-pile-up": """map keeps all results until the last is there. imap and as_completed give one at a time.
        Found when results of 200 MB and more made the parent larger.""",
    "joblib-memmaps": """joblib writes large arguments into files, which workers map. That costs a copy, and room
        on a disk or in /dev/shm.""",
    "worker-killed": """A worker ended by a signal that its parent did not send, or in the middle of a task.
        multiprocessing.Pool replaces it and never gives the task's result: the caller waits for
        ever. An executor gives up all its tasks. SIGKILL is often the kernel's, for want of
        memory.""",
    "stuck-task": """One task does not end, and the program waits for it. Found at Ctrl-C, or when the program
        gave up: it had run for 2 seconds and 20 times the median of the others at least, all of
        which had ended 1 second and 10 medians before.""",
    "full-shared-memory": """/dev/shm is full: writing to it ends a process by SIGBUS, or a segment cannot be made.
        Containers often have 64 MB. Found when that happened and less than 1 MB or 2 % was left,
        or less was free at the beginning than the program's segments need.""",
    "process-failed": """A process ended with exit code 1, by an exception, and the program does not look at its
        exit code: it goes on without what that was to do, or waits for it.""",
    "not-picklable": """A task, a result or an argument could not be pickled: a function within a function, a
        lambda, or what belongs to one process, as a lock or a file. The task is not run, or its
        result is lost.""",
    "not-unpicklable": """A message arrived and could not be rebuilt: an exception whose class asks for other
        arguments than it keeps, or a name that the worker does not find. Pools do not survive it:
        an executor fails with BrokenProcessPool, multiprocessing.Pool waits for ever.""",
    "consumers-died": """The program waits for ever for room in a queue: those that read it have died. Found when
        nothing runs, a process waits for room in a pipe or a bounded queue, and readers ended
        with an error.""",
    "join-before-drain": """A deadlock: a process cannot end before what it has put into a queue is read, and the
        reader waits for its end. Get the results first, then join.""",
    "fork-with-threads": """The program forked while threads of its own were running. A lock that one of them held at
        that moment, of logging, of a library or its own, stays locked in the child for ever.
        Threads of logging's QueueListener and of pools do not count.""",
    "logs-lost": """Workers made log records that their own settings kept out or gave to no handler, and that
        the main process would have written: what it has set up is not there in a fresh
        interpreter.""",
    "logs-unformatted": """Workers had no handler, and logging's last resort wrote the bare message of warnings and
        errors to standard error.""",
    "logs-doubled": """Records of a worker were written twice: it had a handler from its parent, by fork, and was
        given another for the same file, or one for a queue whose listener writes to that file.""",
    "logs-rotated": """Several processes wrote to one file through a rotating handler, and it was renamed at
        least once. Each process renames it by itself, while the others have the old file open:
        records are lost, or in the wrong file.""",
    "output-doubled": """A process that os.fork has made came to a normal end with its parent's unwritten output in
        memory, and wrote it again. Flush before the fork, or end the child by os._exit. Counted
        is what the text stream holds; what has gone on to its buffer is not seen.""",
    "not-inherited": """A function that a worker ran reads a variable of the main module, or of another module of
        the program, that the main process had set to something else, when the worker was started
        by spawn or forkserver: it has the value of a fresh import. Names that are not there at
        all count where a task raised NameError, or the process ended with exit code 1; names that
        such a function sets itself do not count.""",
    "global-changed": """A task changed a variable of a module, or an attribute of a class or object there, in its
        own process: no other has the change. It is wrong where the main process's code reads it
        afterwards, by the source; else, as with a cache, it is a note.""",
    "same-random-numbers": """NumPy's global generator had the same state in several processes when they began, and they
        drew from it: all of them have the same numbers. Found when a later state of each can be
        reached from the first by drawing.""",
    "machine-busy": """Other programs used more than a quarter of the CPUs. Parallel changes need CPUs: no saving
        is promised.""",
}
NAMES = tuple(_TEXTS)


def text(name: str) -> str | None:
    """The explanation of a finding; None when there is none of that name."""
    found = _TEXTS.get(name)
    return fill(" ".join(found.split()), 78) if found is not None else None
