"""The public parts of the package: the page of the package, and workflows that run what there is."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import onecopy as oc

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    """The build's own module."""
    pytest.importorskip("hatchling")
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["dynamic"]
    assert oc.__version__ == metadata.version("onecopy")
    sources = [path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py")]
    assert not any(re.search(r"__version__ *= *[\"']", source) for source in sources)


def test_a_source_tree_on_the_path_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert oc.__version__ == "unknown"


def test_each_link_of_the_page_is_absolute(hook: ModuleType) -> None:
    text = hook.with_addresses(README, "https://example.org/o/r", "v1")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) == len(re.findall(r"\]\(([^)\s]+)\)", README)) > 5
    for target in targets:
        assert target.startswith(("http", "#")), target
    prefix = re.compile(r"https://example\.org/o/r/(blob|raw)/v1/([^#]+)")
    for kind, path in prefix.findall(text.replace(")", "#")):
        assert (ROOT / path.partition("#")[0].strip()).exists(), path
        assert (kind == "raw") == path.endswith((".png", ".svg"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[a](docs/b.md#c)", "[a](U/blob/v1/docs/b.md#c)"),
        ("![a](b.png)", "![a](U/raw/v1/b.png)"),
        ("[a](https://x/y) [b](#c)", "[a](https://x/y) [b](#c)"),
        ("x[0](y)", "x[0](U/blob/v1/y)"),
    ],
)
def test_links(hook: ModuleType, text: str, wanted: str) -> None:
    assert hook.with_addresses(text, "U", "v1") == wanted


@pytest.mark.parametrize("url", ["", "https://example.org/o/r/"])
def test_addresses_stand_in_the_metadata_where_they_are_known(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PROJECT_URL", url)
    monkeypatch.delenv("PROJECT_REF", raising=False)
    found: dict[str, object] = {}
    addresses = hook.AddressesHook(str(ROOT), {})
    if url:
        with pytest.raises(ValueError, match="PROJECT_REF"):
            addresses.update({})
        monkeypatch.setenv("PROJECT_REF", "v1")
    addresses.update(found)
    assert ("urls" in found) == bool(url)
    assert (found["readme"] == {"content-type": "text/markdown", "text": README}) == (not url)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_targets_that_there_are(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    runs = re.findall(r"run: make ([a-z -]+)$", path.read_text("utf-8"), re.M)
    assert runs
    assert {target for run in runs for target in run.split()} <= targets


def test_workflows_try_each_python_that_is_promised() -> None:
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    (matrix,) = re.findall(r"python: \[(.*)\]", (ROOT / ".github/workflows/test.yml").read_text())
    assert re.findall(r"3\.\d+", matrix) == promised
