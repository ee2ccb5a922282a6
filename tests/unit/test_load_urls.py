"""Archives at URLs: what is chosen of them is fetched, and nothing else.

Tables from URLs are in `test_load_datasets.py`. The server is one of this process, and gives parts of
files, as object stores and most web servers do.
"""

from __future__ import annotations

import http.server
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trustme
import zarr
from fsspec.asyn import get_loop, sync
from fsspec.implementations.http import HTTPFileSystem

import onecopy as oc
from onecopy.cli import main
from onecopy.errors import BadFile
from tests import files
from tests.files import array_of

pytestmark = pytest.mark.usefixtures("zarr_ends")

# The thread of fsspec starts with its first use, and stays.
get_loop()

ARCHIVES = ["x.npz", "deflated.npz", "x.h5", "x.zarr"]
BIG = 1 << 20


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and parts of them; counts what it gives."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        first, last = 0, len(data) - 1
        asked = self.headers.get("Range", "") if self.server.parts else ""  # type: ignore[attr-defined]
        if asked.startswith("bytes="):
            start, _, stop = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(stop or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(last + 1 - first))
        if self.server.parts:  # type: ignore[attr-defined]
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        self.server.given += last + 1 - first  # type: ignore[attr-defined]
        self.wfile.write(data[first : last + 1])

    def log_message(self, *_: object) -> None:
        """It is not shown."""


class Server(http.server.ThreadingHTTPServer):
    """A web server that is gone when the test is.

    Attributes:
        given: how many bytes it has sent.
        parts: does it give parts of files?
    """

    given = 0
    parts = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One that has seen enough goes away; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    # It keeps a connection to each server that it has spoken to.
    for system in HTTPFileSystem._cache.values():
        if system._session is not None:
            sync(system.loop, system._session.close)
    HTTPFileSystem.clear_instance_cache()
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Any]:
    """A file system in memory, which holds what is in the test's folder when it is asked for."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def make(path: Path, members: dict[str, Any]) -> Path:
    """An archive of these arrays, by the suffix of its name."""
    if path.suffix == ".npz":
        (np.savez_compressed if "deflated" in path.name else np.savez)(path, **members)
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(path, "w") as file:
            for name, each in members.items():
                file[name] = each
    else:
        group = zarr.open_group(path, mode="w")
        for name, each in members.items():
            group.create_array(name, data=each)
        with warnings.catch_warnings(action="ignore"):  # the format does not speak of it yet
            zarr.consolidate_metadata(group.store)
    return path


MEMBERS: dict[str, Any] = {
    "a": np.arange(30).reshape(10, 3),
    "b/c": np.random.default_rng(0).integers(0, 255, BIG, "u1"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_from_a_server(tmp_path: Path, server: Server, name: str) -> None:
    make(tmp_path / name, MEMBERS)
    got = oc.load(f"{server.url}/{name}")
    assert sorted(got) == sorted(MEMBERS)
    for member, array in MEMBERS.items():
        assert np.array_equal(got[member], array)
        assert oc.is_shared(got[member])
    assert server.given >= BIG


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_member_alone_is_fetched_alone(tmp_path: Path, server: Server, name: str) -> None:
    large = {f"l{at}": np.random.default_rng(at).integers(0, 255, 8 * BIG, "u1") for at in range(4)}
    make(tmp_path / name, {"a": MEMBERS["a"], **large})
    got = array_of(oc.load(f"{server.url}/{name}", columns="a", rows=(2, 5)))
    assert got.tolist() == MEMBERS["a"][2:5].tolist()
    assert server.given < sum(each.nbytes for each in large.values())


@pytest.mark.parametrize("name", ARCHIVES)
def test_from_memory(tmp_path: Path, memory: Any, name: str) -> None:
    make(tmp_path / name, MEMBERS)
    memory.put(str(tmp_path / name), f"/there/{name}", recursive=True)
    got = oc.load(f"memory://there/{name}")
    assert {member: np.asarray(got[member]).tolist() for member in got} == {
        member: array.tolist() for member, array in MEMBERS.items()
    }


@pytest.mark.parametrize("name", ARCHIVES)
def test_several_are_one(tmp_path: Path, server: Server, name: str) -> None:
    for at in range(2):
        make(tmp_path / f"{at}{name}", {"a": np.arange(4) + 10 * at})
    got = oc.load([f"{server.url}/{at}{name}" for at in range(2)])
    assert array_of(got).tolist() == [0, 1, 2, 3, 10, 11, 12, 13]


@pytest.mark.parametrize("name", ARCHIVES)
def test_one_that_is_not_there(server: Server, name: str) -> None:
    with pytest.raises((FileNotFoundError, BadFile), match=name):
        oc.load(f"{server.url}/{name}")


@pytest.mark.parametrize("name", ["x.npz", "x.h5"])
def test_one_that_is_damaged(tmp_path: Path, server: Server, name: str) -> None:
    data = make(tmp_path / name, MEMBERS).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(BadFile, match=name):
        oc.load(f"{server.url}/{name}")


@pytest.mark.parametrize("name", ["x.npz", "x.h5"])
def test_a_server_that_gives_no_parts(tmp_path: Path, server: Server, name: str) -> None:
    make(tmp_path / name, {"a": np.random.default_rng(0).integers(0, 255, 8 * BIG, "u1")})
    server.parts = False
    with pytest.raises(BadFile, match=name):
        oc.load(f"{server.url}/{name}")


def test_convert(tmp_path: Path, server: Server) -> None:
    make(tmp_path / "x.h5", {"a": np.arange(5), "b": np.arange(5.0)})
    with pytest.raises(SystemExit) as ended:
        main(["convert", f"{server.url}/x.h5", str(tmp_path / "x.ndjson")])
    assert not ended.value.code
    assert (tmp_path / "x.ndjson").read_text().splitlines()[4] == '{"a":4,"b":4.0}'


@pytest.mark.parametrize("name", files.TABLES)
def test_tables_from_a_server(tmp_path: Path, server: Server, name: str) -> None:
    files.TABLES[name](tmp_path / name, files.table())
    assert oc.load(f"{server.url}/{name}").equals(files.table())


# https, and servers that do not answer.


def test_from_a_server_with_a_certificate(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate of an authority that is not known is no missing file."""
    authority = trustme.CA()
    of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(of_server)
    server.socket = of_server.wrap_socket(server.socket, server_side=True)
    for name in files.TABLES:
        files.TABLES[name](tmp_path / name, files.table())
    make(tmp_path / "x.npz", MEMBERS)
    url = server.url.replace("http:", "https:")
    with pytest.raises(OSError, match=r"server: .*CERTIFICATE_VERIFY_FAILED") as error:
        oc.load(f"{url}/x.csv")
    assert not isinstance(error.value, FileNotFoundError)
    assert error.value.filename == f"{url}/x.csv"

    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setitem(fsspec.config.conf, "https", {"ssl": trusting})
    for name in files.TABLES:
        assert oc.load(f"{url}/{name}").equals(files.table())
    assert np.array_equal(oc.load(f"{url}/x.npz", columns="a")["a"], MEMBERS["a"])


def test_a_server_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and no server listens
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x.csv"
        with pytest.raises(SystemExit) as ended:
            main(["convert", url, str(tmp_path / "out.csv")])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"'{url}': cannot be read from the server: Cannot connect" in line


@pytest.mark.parametrize("how", ["load", "scan"])
def test_parquet_is_fetched_once_and_only_its_columns(
    server: Server, tmp_path: Path, how: str
) -> None:
    random = np.random.default_rng(1)
    path = tmp_path / "x.parquet"
    table = pa.table({f"v{at}": random.random(200_000) for at in range(8)})
    pq.write_table(table, path, row_group_size=50_000)
    size = path.stat().st_size

    def fetched(columns: list[str] | None) -> float:
        before = server.given
        if how == "load":
            got = oc.load(f"{server.url}/x.parquet", columns=columns)
        else:
            scan = oc.scan(f"{server.url}/x.parquet", columns=columns, block_bytes=1)
            got = pa.concat_tables(block.read() for block in scan.blocks)
        assert got.equals(table if columns is None else table.select(columns))
        return (server.given - before) / size

    assert fetched(None) < 1.1
    assert fetched(["v5", "v2"]) < 0.3
