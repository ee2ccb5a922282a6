# Behind ``enter`` in the session's sitecustomize.py. Its folder stands first on PYTHONPATH: children
# get it by the environment; here it goes out of the program's sight, and the next sitecustomize on
# the path, if there is one, is imported. That one's errors are its own.
sys.path[:] = [_each for _each in sys.path if _each != SESSION + "/inject"]
_mine = sys.modules.pop("sitecustomize", None)
try:
    import sitecustomize
except ImportError:
    _error = sys.exc_info()[1]
    sys.modules["sitecustomize"] = _mine
    if getattr(_error, "name", "sitecustomize") != "sitecustomize":
        raise
except BaseException:
    sys.modules["sitecustomize"] = _mine
    raise
