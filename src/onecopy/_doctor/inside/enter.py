# The way in, once in each process, with SESSION set: executed by ``sitecustomize`` in a fresh
# interpreter, and by the passenger in multiprocessing's preparation data. It may be a Python of
# another version, or a Python 2: nothing here but old syntax, and no error may come out.
import sys

if "_onecopy_doctor" not in sys.__dict__ and sys.version_info >= (3, 9):
    sys._onecopy_doctor = SESSION  # where pools of onecopy's own leave what they know
    try:
        import _signal
        import marshal

        # An error in an interpreter beside the main one (InterpreterPoolExecutor): its tasks are
        # known from the threads that run them. At this time there is no such descriptor to lose.
        _signal.set_wakeup_fd(-1)
        try:
            # Compiled once for each version of Python and kept with the session: else it would
            # be 20 ms in each process where nothing may be written beside a source.
            with open(SESSION + "/" + sys.implementation.cache_tag + ".code", "rb") as _file:
                _parts = marshal.loads(_file.read())
        except (OSError, ValueError, EOFError, TypeError):
            _scope = {}
            with open(SESSION + "/inside/build.py") as _file:
                exec(compile(_file.read(), "<onecopy doctor>", "exec"), _scope)
            _parts = _scope["build"](SESSION)
        exec(marshal.loads(_parts["boot"]), {"MODULES": _parts, "SESSION": SESSION})
    except Exception:
        pass
