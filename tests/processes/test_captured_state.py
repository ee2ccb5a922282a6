"""State that functions of the main module capture, changed between calls. There is no guard."""

from __future__ import annotations

from pathlib import Path

import pytest

from onecopy.pool import Method
from tests import scripts

pytestmark = [pytest.mark.door, pytest.mark.beside]

PROGRAM = """
import functools, sys
import onecopy as oc

def make():
    found = {}
    def look(x):
        return found.get(x, "nothing")
    return look, found

table, found = make()
del found  # nothing but the function has it

def call_table(x):
    return table(x)

@functools.singledispatch
def show(x):
    return "any"

def call_show(x):
    return show(x)

def logged(function):
    @functools.wraps(function)
    def wrapper(x):
        return "logged", function(x)
    return wrapper

@logged
def plain(x):
    return x

with oc.Pool(1, method=sys.argv[1]) as pool:
    for _ in range(2):
        print([pool.apply(each, (1,)) for each in (table, call_table, call_show, plain)])
        table.__closure__[0].cell_contents[1] = "something"
        show.register(int, lambda x: "int")
"""


def test_a_registry_that_a_function_captures(tmp_path: Path, process_method: Method) -> None:
    done = scripts.run(tmp_path, PROGRAM, process_method)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "['nothing', 'nothing', 'any', ('logged', 1)]",
        "['something', 'something', 'int', ('logged', 1)]",
    ]
