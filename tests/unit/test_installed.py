"""The directories of installed packages, as the standard library's own modules name them."""

from __future__ import annotations

import site
import subprocess
import sys
import sysconfig

from onecopy._system import installed


def test_they_are_those_of_sysconfig_and_site() -> None:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    known = {sysconfig.get_path(kind) for kind in kinds}
    known |= {*site.getsitepackages(), site.getusersitepackages()}
    assert known <= set(installed.directories())


def test_none_of_them_holds_a_program() -> None:
    found = installed.directories()
    assert not {"", "/"} & set(found)
    assert not any(__file__.startswith(f"{path}/") for path in found)
    assert sys.executable.startswith(tuple(f"{path}/" for path in found)) is False


def test_a_pool_starts_without_sysconfig() -> None:
    program = (
        "import sys, onecopy as oc\n"
        "if __name__ == '__main__':\n"
        "    with oc.Pool(1, method='fork') as pool:\n"
        "        assert pool.map(abs, [-1]) == [1]\n"
        "    print('sysconfig' in sys.modules)\n"
    )
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path[:0] = {sys.path!r}\n{program}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
