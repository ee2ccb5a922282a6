"""The code of the documentation runs: every page's ``python`` blocks, and the examples of the
public docstrings, each in an interpreter of its own, under the default start method.

What a page's program is, is in `tests/pages.py`; what pages have to name, in
`tests/unit/test_docs.py`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import Block, Page, pages

pytestmark = pytest.mark.door

# Reports and tables are as wide as the terminal. No colour: output is compared.
_ENVIRONMENT = {"COLUMNS": "100", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}

# Each by itself, with the names of the module that it is in: ``__module__`` of a public name
# is its door, by which doctest would take it for an import.
_EXAMPLES = """
import doctest, inspect, sys
from importlib import import_module
import onecopy, onecopy.joblib

found = {onecopy.joblib.register: onecopy.joblib}
for home, names in onecopy._HOMES.items():
    module = import_module(f"onecopy.{home}")
    for value in (getattr(module, name) for name in names):
        kinds = inspect.getmro(value) if inspect.isclass(value) else (value,)
        found.update((kind, module) for kind in kinds if kind.__module__.startswith("onecopy"))
runner = doctest.DocTestRunner()
for value, module in found.items():
    names = dict(vars(module))
    for test in doctest.DocTestFinder().find(value, value.__qualname__, module=False, globs=names):
        runner.run(test)
print(runner.tries)
sys.exit(bool(runner.failures))
"""


def run(folder: Path, name: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program under that name; what it makes goes into `folder`."""
    (folder / "work").mkdir()
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(program, "utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        cwd=folder / "work",
        env={**os.environ, **_ENVIRONMENT, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.program()], ids=lambda page: page.name
)
def test_code_of_a_page_runs_and_prints_what_it_shows(page: Page, tmp_path: Path) -> None:
    done = run(tmp_path, page.name, page.program())
    if done.returncode:
        lines = re.findall(rf'File ".*{re.escape(page.name)}", line (\d+)', done.stderr)
        where = lines[-1] if lines else "?"
        pytest.fail(f"{page.name}, line {where}:\n{done.stdout}\n{done.stderr}", pytrace=False)
    missing = page.missing_in(done.stdout)
    if missing is not None:
        pytest.fail(f"{page.name}, line {missing.line}: not in\n{done.stdout}", pytrace=False)


README = next(page for page in pages() if page.name == "README.md")


@pytest.mark.parametrize("block", README.blocks("python"), ids=lambda block: f"line {block.line}")
def test_each_block_of_readme_runs_by_itself(block: Block, tmp_path: Path) -> None:
    """Visitors paste one of them, and see no comments of the page."""
    done = run(tmp_path, "pasted.py", "\n".join(block.lines) + "\n")
    assert done.returncode == 0, done.stderr
    shown = min(
        (each for each in README.blocks("output") if each.line > block.line),
        key=lambda each: each.line,
    )
    assert done.stdout.splitlines() == list(shown.lines)


def test_examples_of_public_docstrings_run(tmp_path: Path) -> None:
    done = run(tmp_path, "examples.py", _EXAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 20
