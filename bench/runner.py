"""The order of measuring: all contenders open, warmed up, then one sample each, in turn.

A B C, A B C, ...: what disturbs the machine for some seconds disturbs all of them. Garbage
is collected between samples, so that no sample pays for another's. A contender that fails,
or for which memory is short, is left out with a note; the others go on.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil

from .face import Contender, Figure, Sample, Size
from .ratios import Verdict, judge


@dataclass
class Outcome:
    """The outcome of one figure."""

    figure: Figure
    samples: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)


Say = Callable[[str], None]


def run(figure: Figure, size: Size, rounds: int | None, say: Say) -> Outcome:
    """Measures one figure; ``say`` is told what is going on."""
    outcome = Outcome(figure)
    contenders = figure.contenders(size)
    total = rounds or figure.rounds
    with ExitStack() as stack:
        opened: dict[str, Sample] = {}
        for contender in contenders:
            sample = _open(contender, stack, outcome)
            if sample is not None:
                opened[contender.name] = sample
        for number in range(total):
            for contender in contenders:
                if contender.name not in opened or number >= (contender.rounds or total):
                    continue
                say(f"{figure.name}: round {number + 1} of {total}, {contender.name}")
                if not _sample(contender, opened[contender.name], outcome):
                    del opened[contender.name]
    outcome.verdicts = [judge(bar, outcome.samples) for bar in figure.bars(size)]
    return outcome


def _open(contender: Contender, stack: ExitStack, outcome: Outcome) -> Sample | None:
    if psutil.virtual_memory().available < contender.needs:
        outcome.notes.append(
            f"{contender.name} was left out: it needs {contender.needs / 1e9:.0f} GB of free memory"
        )
        return None
    try:
        sample = stack.enter_context(contender.open())
        for _ in range(contender.warm):
            gc.collect()
            sample()
    except Exception as error:
        outcome.notes.append(f"{contender.name} failed: {type(error).__name__}: {error}")
        return None
    return sample


def _sample(contender: Contender, sample: Sample, outcome: Outcome) -> bool:
    gc.collect()
    try:
        value = sample()
    except Exception as error:
        outcome.notes.append(f"{contender.name} failed: {type(error).__name__}: {error}")
        return False
    outcome.samples.setdefault(contender.name, []).append(value)
    return True
