"""The imports of a fresh interpreter that serves as a worker or a zygote: every pool waits for
them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import onecopy
from onecopy._launch import interpreter

# Each takes 1 to 15 ms of CPU time in a new interpreter, and a worker needs none to run a task.
_EXPENSIVE = {
    "ast", "asyncio", "cloudpickle", "dataclasses", "dis", "hashlib", "inspect", "logging",
    "multiprocessing", "numpy", "pathlib", "psutil", "rich", "subprocess", "tempfile", "tokenize",
    "traceback", "uuid",
}  # fmt: skip


def test_a_fresh_interpreter_imports_nothing_expensive() -> None:
    # -S: what the environment's .pth files import is not ours.
    code = (
        f"import sys; sys.path.append({interpreter._HOME!r}); import onecopy._launch.bootstrap; "
        "print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert _EXPENSIVE.isdisjoint(run.stdout.split())


def test_a_fresh_interpreter_is_told_where_onecopy_is() -> None:
    assert Path(interpreter._HOME, "onecopy", "__init__.py").samefile(onecopy.__file__)


# Modules that a program with a pool does not need, unless it is one that Python's own pool imports.
_UNNEEDED = {
    "ast", "asyncio", "cloudpickle", "dataclasses", "html", "inspect", "json", "numpy", "pathlib",
    "rich", "urllib.parse", "uuid",
}  # fmt: skip


def _imported(code: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(run.stdout.split())


def test_a_program_with_a_pool_imports_nothing_that_it_does_not_need() -> None:
    home = f"sys.path.append({interpreter._HOME!r})"
    found = _imported(f"{home}; import onecopy; onecopy.Pool; import onecopy._engine.processes")
    assert "onecopy.pool" in found
    unneeded = _UNNEEDED - _imported("import multiprocessing.pool, concurrent.futures.process")
    assert not unneeded & found


def test_a_fresh_interpreter_imports_cloudpickle_only_for_functions_sent_by_value(
    tmp_path: Path,
) -> None:
    code = (
        "import sys\nimport onecopy as oc\n"
        "def f(x): return 'cloudpickle' in sys.modules\n"
        "{more}"
        "if __name__ == '__main__':\n"
        "    with oc.Pool(1, method='forkserver') as pool: print(pool.map(f, [1]))\n"
    )
    for more, there in (
        ("", False),
        ("g = lambda x: x\n", True),
        ("if 0:\n def g(): pass\n", False),
    ):
        program = tmp_path / "program.py"
        program.write_text(code.format(more=more))
        run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
        assert run.stdout == f"[{there}]\n"


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_workers_have_the_onecopy_of_their_owner(method: str, tmp_path: Path) -> None:
    """Another one may be installed, that a program has passed over."""
    other = tmp_path / "other" / "onecopy"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise ImportError('the wrong one')")
    code = (
        f"import sys; sys.path.insert(0, {interpreter._HOME!r}); import onecopy as oc; "
        f"pool = oc.Pool(1, method={method!r}); print(pool.apply(abs, (-1,)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(other.parent)},
    )  # fmt: skip
    assert (run.stdout, run.returncode) == ("1\n", 0), run.stderr
