"""Compile this folder for the Python that runs, and keep the code with the session.

All code has one made-up file name, which tools that count lines (coverage) leave alone.
"""

import marshal
import os
import sys

NAME = "<onecopy doctor>"
LEFT_OUT = ("__init__", "build", "enter", "stub")


def build(session: str) -> "dict[str, bytes]":
    """The marshalled code of each module."""
    parts = {}
    folder = session + "/inside"
    for name in os.listdir(folder):
        title, _, ending = name.rpartition(".")
        if ending == "py" and title not in LEFT_OUT:
            with open(folder + "/" + name, encoding="utf-8") as file:
                code = compile(file.read(), NAME, "exec", 0, True, 2)
            parts[title] = marshal.dumps(code)
    target = session + "/" + str(sys.implementation.cache_tag) + ".code"
    draft = target + "." + str(os.getpid())
    try:
        with open(draft, "wb") as out:
            out.write(marshal.dumps(parts))
        os.rename(draft, target)
    except OSError:
        pass  # no rights or no room there any more: compiled again by the next
    return parts
