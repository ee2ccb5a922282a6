"""The outcomes of a suite's tests."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """By test: what failed, was skipped by the suite, or is left out here, each with why."""

    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        aside = f"{len(self.skipped)} skipped, {len(self.excluded)} left out"
        return f"{len(self.passed)} passed, {len(self.failed)} failed ({aside})"
