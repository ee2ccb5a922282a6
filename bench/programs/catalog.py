"""The programs by name: what each needs, and the ways that it is run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from .ways import JOBLIB, POOLS


@dataclass(frozen=True)
class Program:
    """One program.

    Attributes:
        name: its file in ``work``.
        needs: libraries without which it is left out.
        ways: names of ``ways``, the standard ones first.
        short: does it belong to the short form?
    """

    name: str
    needs: tuple[str, ...] = ()
    ways: tuple[str, ...] = POOLS
    short: bool = False

    @property
    def missing(self) -> list[str]:
        return [library for library in self.needs if find_spec(library) is None]

    @property
    def module(self) -> str:
        return f"bench.programs.work.{self.name}"


_SKLEARN = ("joblib", "sklearn")

PROGRAMS = (
    Program("scipy_brute", ("scipy",), short=True),
    Program("scipy_evolution", ("scipy",)),
    Program("emcee_line", ("emcee",)),
    Program("emcee_array", ("emcee",)),
    Program("dynesty_nested", ("dynesty",)),
    Program("lmfit_emcee", ("lmfit", "emcee")),
    Program("deap_onemax", ("deap",)),
    Program("dask_bag", ("dask",)),
    Program("dask_frame", ("dask", "pandas", "pyarrow")),
    Program("pandas_groups", ("pandas",), short=True),
    Program("pandas_frames", ("pandas",)),
    Program("pandas_texts", ("pandas",)),
    Program("torch_tensors", ("torch",)),
    Program("word_counts", short=True),
    Program("asyncio_calls"),
    Program("tqdm_map", ("tqdm",)),
    Program("flake8_files", ("flake8",)),
    Program("black_files", ("black",)),
    Program("grid_search", _SKLEARN, JOBLIB, short=True),
    Program("random_forest", _SKLEARN, JOBLIB),
    Program("bagging", _SKLEARN, JOBLIB),
    Program("hist_boosting", _SKLEARN, JOBLIB),
    Program("permutation", _SKLEARN, JOBLIB),
    Program("one_vs_rest", _SKLEARN, JOBLIB),
    Program("joblib_calls", ("joblib",), JOBLIB),
    Program("joblib_array", ("joblib",), JOBLIB),
)

NAMES = [program.name for program in PROGRAMS]


def program(name: str) -> Program:
    return PROGRAMS[NAMES.index(name)]
