"""Classes of a main module that workers do not import, because it has no guard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onecopy.pool import Method
from tests import scripts

pytestmark = [pytest.mark.door, pytest.mark.beside]

SLOTS = """
import abc, sys, typing
from dataclasses import dataclass, field
import onecopy as oc

@dataclass(slots=True, order=True)
class Row:
    x: int
    tags: list = field(default_factory=list)
    def more(self):
        self.tags.append(self.x)
        return self

@dataclass(slots=True, frozen=True, weakref_slot=True)
class Fixed:
    x: int

class Hidden:
    __slots__ = ("__x", "y")
    def __init__(self, x):
        self.__x = x
    def x(self):
        return self.__x

class Base(abc.ABC):
    __slots__ = ()
    @abc.abstractmethod
    def go(self): ...

class Sub(Base):
    __slots__ = ["x", "__dict__"]
    def __init__(self, x):
        self.x, self.z = x, 2
    def go(self):
        return self.x + self.z

class One:
    __slots__ = "x"
    def __init__(self, x):
        self.x = x

class Box(typing.Generic[typing.TypeVar("T")]):
    __slots__ = {"x": "documented"}
    def __init__(self, x):
        self.x = x

class Pair(typing.NamedTuple):
    x: int

class Slotted(Exception):
    __slots__ = ("x",)
    def __init__(self, x):
        super().__init__(x)
        self.x = x

def same(value):
    return value, hasattr(value, "__dict__")

def fails(x):
    raise Slotted(x)

with oc.Pool(1, method=sys.argv[1]) as pool:
    for value in (Row(1), Fixed(2), Hidden(3), Sub(4), One(5), Box(6), Pair(7)):
        back, has = pool.apply(same, (value,))
        print(type(back) is type(value), has == hasattr(value, "__dict__"), end=" ")
    print()
    print(pool.apply(Row.more, (Row(1),)), pool.apply(lambda: Row(8)))
    print(pool.apply(same, (Hidden(3),))[0].x(), pool.apply(same, (Sub(4),))[0].go())
    try:
        pool.apply(fails, (3,))
    except Slotted as error:
        print(error.x)
"""


def test_slots_stay_slots(tmp_path: Path, process_method: Method) -> None:
    done = scripts.run(tmp_path, SLOTS, process_method)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "True " * 14,
        "Row(x=1, tags=[1]) Row(x=8, tags=[])",
        "3 6",
        "3",
    ]


REGISTRY = """
import sys
import onecopy as oc

class Meta(type):
    made = []
    def __new__(meta, name, bases, names):
        found = super().__new__(meta, name, bases, names)
        Meta.made.append(found)
        return found

class Base(metaclass=Meta):
    plugins = {}
    def __init_subclass__(cls):
        Base.plugins[cls.__name__] = cls

class One(Base):
    pass

class Two(One):
    pass

def names(plugin):
    here = Base.plugins
    same = here["One"] is One and here["Two"] is Two and isinstance(plugin, here["Two"])
    return sorted(here), same, all(type(each) is Meta for each in Meta.made)

with oc.Pool(1, method=sys.argv[1]) as pool:
    print(pool.map(names, [Two(), Two()]))
    class Three(One):
        pass
    print(pool.map(names, [Two()]), isinstance(pool.apply(Three), Three))
"""


@pytest.mark.parametrize("seed", ["1", "2", "3"])  # the order in which names are walked through
def test_a_base_class_that_keeps_its_subclasses(
    tmp_path: Path, process_method: Method, seed: str
) -> None:
    env = {**os.environ, "PYTHONHASHSEED": seed}
    done = scripts.run(tmp_path, REGISTRY, process_method, env=env)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[(['One', 'Two'], True, True), (['One', 'Two'], True, True)]",
        "[(['One', 'Three', 'Two'], True, True)] True",
    ]
