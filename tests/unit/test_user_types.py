"""`register`: the user's own classes, taken apart into buffers and put together again."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import onecopy
from onecopy._codec.adapters import user_types
from onecopy._codec.codec import encode
from onecopy.errors import NotPicklable
from tests.arrays import Array
from tests.links import Ends


class Track:
    """Two arrays and a str, with a pickling that copies."""

    def __init__(self, name: str, times: Array, places: Array) -> None:
        self.name, self.times, self.places = name, times, places

    def __reduce__(self) -> Any:
        return Track, (self.name, self.times.tolist(), self.places.tolist())


class Derived(Track):
    pass


def apart(track: Track) -> tuple[str, list[Array]]:
    return track.name, [track.times, track.places]


def together(name: str, buffers: list[Array]) -> Track:
    return Track(name, *buffers)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    onecopy.register(Track, apart, together)
    yield
    user_types.unregister(Track)


def a_track() -> Track:
    return Track("x", np.arange(1e5), np.zeros((50_000, 2), "f4")[::2])


def test_buffers_go_out_of_band_and_arrive_writable() -> None:
    ends = Ends()
    there = ends.send({"track": a_track()})["track"]
    assert type(there) is Track
    assert there.name == "x"
    assert (there.times == np.arange(1e5)).all()
    assert there.places.shape == (25_000, 2)
    assert there.places.dtype == np.float32
    assert len(ends.body) < 1000
    there.times[0] = there.places[0, 0] = 5


def test_shared_it_moves_nothing_and_is_read_only() -> None:
    ends = Ends()
    shared = onecopy.share(a_track())
    assert type(shared) is Track
    assert onecopy.is_shared(shared)
    assert onecopy.share(shared) is shared
    there = ends.send(shared)
    assert ends.owner.bytes_copied == 0
    assert not there.times.flags.writeable
    assert len(onecopy.segments()) == 1


def test_the_receiver_needs_no_registration_and_then_has_one() -> None:
    ends = Ends()
    encoded = encode(a_track())
    user_types.unregister(Track)
    from onecopy._codec.codec import decode, write_message
    from tests.links import announce

    rich, body = write_message(encoded, ends.owner)
    announce(ends.owner, ends.worker)
    there = decode(rich, memoryview(body), ends.worker)
    assert type(there) is Track
    ends.send_back(there)
    assert len(ends.body) < 1000


def test_other_buffers_arrive_as_views() -> None:
    class Blob:
        def __init__(self, *parts: Any) -> None:
            self.parts = parts

    onecopy.register(Blob, lambda blob: (None, list(blob.parts)), lambda _, parts: Blob(*parts))
    try:
        there = Ends().send(Blob(b"abc", bytearray(3), array.array("d", [1, 2]), memoryview(b"x")))
    finally:
        user_types.unregister(Blob)
    assert [type(part) for part in there.parts] == [memoryview] * 4
    assert [part.tolist() for part in there.parts[:3]] == [[97, 98, 99], [0, 0, 0], [1.0, 2.0]]
    assert [part.readonly for part in there.parts] == [True, False, False, True]


def test_a_derived_class_is_not_meant() -> None:
    there = Ends().send(Derived("d", np.arange(3), np.arange(2)))
    assert there.times == [0, 1, 2]  # by its own pickling


def test_a_registered_array_class_comes_before_our_own() -> None:
    class Celsius(np.ndarray[Any, Any]):
        pass

    onecopy.register(
        Celsius, lambda a: ("C", [np.asarray(a)]), lambda _, parts: parts[0].view(Celsius) + 1
    )
    try:
        assert Ends().send(np.zeros(3).view(Celsius)).tolist() == [1, 1, 1]
    finally:
        user_types.unregister(Celsius)
    assert Ends().send(np.zeros(3).view(Celsius)).tolist() == [0, 0, 0]


def test_wrong_registrations_are_refused() -> None:
    wrong: Any
    for wrong in (5, "Track", a_track()):
        with pytest.raises(TypeError, match="register takes a class"):
            onecopy.register(wrong, apart, together)
    for wrong in (dict, str, type(None)):
        with pytest.raises(TypeError, match="derive a class"):
            onecopy.register(wrong, apart, together)
    with pytest.raises(TypeError, match="register takes two functions, not a list"):
        onecopy.register(Derived, apart, [])  # type: ignore[arg-type]


def test_what_is_not_a_pair_is_said() -> None:
    onecopy.register(Track, lambda track: [track.times], together)  # type: ignore[arg-type,return-value]
    with pytest.raises(NotPicklable, match=r"to_buffers of Track has to return .* not a list"):
        encode({"t": a_track()})
