"""Data in an object store, `s3://`: from a local server that speaks S3's protocol (moto).

Everything goes through s3fs, as it does for a user; only the address of the server is another.
"""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fsspec.asyn import get_loop
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

import onecopy as oc
from onecopy.cli import main
from onecopy.errors import BadFile
from tests import files

pytestmark = pytest.mark.usefixtures("zarr_ends")

# The thread of fsspec starts with its first use, and stays; so does the one that s3fs reads the
# description of the protocol in.
_READER = ThreadPoolExecutor(1)
_READER.submit(int).result()
get_loop().set_default_executor(_READER)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A file system with an empty bucket, called ``bucket``, at the server that the environment
    names."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    # What a server before this one was given is still there.
    urllib.request.urlopen(f"{address}/moto-api/reset", data=b"").close()
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    system = fsspec.filesystem("s3")
    system.mkdir("bucket")
    yield system
    S3FileSystem.close_session(system.loop, system.s3)
    S3FileSystem.clear_instance_cache()
    server.stop()


def put(bucket: Any, path: Path, name: str) -> str:
    """Store a file or a folder; return its URL."""
    bucket.put(str(path), f"bucket/{name}", recursive=path.is_dir())
    return f"s3://bucket/{name}"


@pytest.mark.parametrize("name", files.TABLES)
def test_tables(tmp_path: Path, bucket: Any, name: str) -> None:
    files.TABLES[name](tmp_path / name, files.table())
    got = oc.load(put(bucket, tmp_path / name, name))
    assert got.equals(files.table())
    assert oc.is_shared(got)


@pytest.mark.parametrize("name", files.ARRAYS)
def test_arrays(tmp_path: Path, bucket: Any, name: str) -> None:
    array = np.arange(600.0).reshape(200, 3)
    files.ARRAYS[name](tmp_path / name, array)
    url = put(bucket, tmp_path / name, name)
    assert np.array_equal(files.array_of(oc.load(url)), array)
    assert np.array_equal(files.array_of(oc.load(url, rows=(5, 90))), array[5:90])


def test_folders_patterns_and_filters(tmp_path: Path, bucket: Any) -> None:
    frame = pd.DataFrame(
        {"year": [2023, 2023, 2024], "city": ["Rome", "Oslo", "Rome"], "sales": [1, 2, 3]}
    )
    frame.to_parquet(tmp_path / "sales", partition_cols=["year"])
    url = put(bucket, tmp_path / "sales", "sales")
    for path in (url, f"{url}/**/*.parquet"):
        assert oc.load(path).to_pydict() == {
            "city": ["Rome", "Oslo", "Rome"],
            "sales": [1, 2, 3],
            "year": [2023, 2023, 2024],
        }
        assert oc.load(path, filter=["year < 2024", "sales > 1"], columns="city").to_pydict() == {
            "city": ["Oslo"]
        }


def test_convert(tmp_path: Path, bucket: Any) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,x\n2,y\n")
    url = put(bucket, tmp_path / "x.csv", "x.csv")
    out = tmp_path / "out.ndjson"
    with pytest.raises(SystemExit) as ended:
        main(["convert", url, str(out)])
    assert not ended.value.code
    assert out.read_text() == '{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n'


def test_one_that_is_not_there(bucket: Any) -> None:
    with pytest.raises(FileNotFoundError, match=r"s3://bucket/x\.csv"):
        oc.load("s3://bucket/x.csv")
    with pytest.raises(FileNotFoundError, match=r"s3://bucket/\*\.csv"):
        oc.load("s3://bucket/*.csv")


def test_one_that_is_damaged(tmp_path: Path, bucket: Any) -> None:
    files.TABLES["x.parquet"](tmp_path / "x.parquet", files.table())
    data = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadFile, match=r"s3://bucket/x\.parquet"):
        oc.load(put(bucket, tmp_path / "x.parquet", "x.parquet"))


@pytest.mark.parametrize("name", ["x.csv", "*.csv", "folder"])
def test_without_credentials(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for each in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(each)
    S3FileSystem.clear_instance_cache()
    with pytest.raises(SystemExit) as ended:
        main(["convert", f"s3://bucket/{name}", "out.csv"])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"'s3://bucket/{name}': cannot be read from the server: " in line
    assert "credentials" in line


@pytest.mark.parametrize("name", ["x.arrow", "x.parquet", "x.csv.gz", "x.ndjson"])
def test_convert_to_an_object(tmp_path: Path, bucket: Any, name: str) -> None:
    files.TABLES["x.csv"](tmp_path / "x.csv", files.table())
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tmp_path / "x.csv"), f"s3://bucket/new/{name}"])
    assert not ended.value.code
    assert oc.load(f"s3://bucket/new/{name}").equals(files.table())


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.h5", "x.zarr"])
def test_convert_arrays_to_an_object(tmp_path: Path, bucket: Any, name: str) -> None:
    array = np.arange(600.0).reshape(200, 3)
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tmp_path / "x.npy"), f"s3://bucket/new/{name}"])
    assert not ended.value.code
    assert np.array_equal(files.array_of(oc.load(f"s3://bucket/new/{name}")), array)


def test_an_object_that_cannot_be_written(
    tmp_path: Path, bucket: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,x\n")
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tmp_path / "x.csv"), "s3://no-such-bucket/x.parquet"])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "'s3://no-such-bucket/x.parquet': cannot be written to the server: " in line


@pytest.mark.parametrize("name", files.TABLES)
def test_scan(tmp_path: Path, bucket: Any, name: str) -> None:
    files.TABLES[name](tmp_path / name, files.table())
    url = put(bucket, tmp_path / name, name)
    scan = oc.scan(url, block_bytes=2000)
    parts = [block.read() for block in scan.blocks]
    assert pa.concat_tables(parts).combine_chunks().equals(files.table().combine_chunks())
    bucket.pipe_file(f"bucket/{name}", b"another")
    bucket.invalidate_cache()
    with pytest.raises(BadFile, match="is not the file that was scanned"):
        scan.blocks[0].read()


def test_scan_in_workers(tmp_path: Path, bucket: Any) -> None:
    """Workers find the server by the environment."""
    files.TABLES["x.parquet"](tmp_path / "x.parquet", files.table())
    scan = oc.scan(put(bucket, tmp_path / "x.parquet", "x.parquet"), block_bytes=2000)
    with oc.Pool(2, method="spawn") as pool:
        assert pool.map_blocks(len, scan, reduce="sum") == files.table().num_rows


def test_a_pickle(tmp_path: Path, bucket: Any) -> None:
    files.pickled(tmp_path / "x.pkl", {"a": [1, 2]})
    url = put(bucket, tmp_path / "x.pkl", "x.pkl")
    with pytest.raises(BadFile, match="allow_pickle"):
        oc.load(url)
    assert oc.load(url, allow_pickle=True)["a"] == [1, 2]
