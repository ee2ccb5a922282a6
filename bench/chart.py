"""The one chart: what each way of doing the main job costs, in time and in memory.

Drawn from the JSON, so it can be drawn again without measuring: ``python -m bench.chart
results.json``. Two panels over the same rows; the library in one colour, everybody else in
another (blue and orange of the Okabe-Ito palette, which colour-blind readers tell apart),
and every bar carries its number, so that no colour has to be told apart to read it.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

OURS, THEIRS, INK = "#0072B2", "#E69F00", "#333333"
SUFFIX = ", 8"
NEEDED = ("file_to_sum", "peak_memory")


Rows = list[tuple[str, float, float]]


def rows(content: dict[str, Any]) -> Rows:
    """(way, seconds, bytes) of the ways with 8 workers and of the threads; slowest last."""
    times, memory = (content["figures"][name]["medians"] for name in NEEDED)
    found = [
        (way.removesuffix(SUFFIX), times[way], memory[way])
        for way in times
        if way in memory and (way.endswith(SUFFIX) or "threads" in way)
    ]
    return sorted(found, key=lambda row: row[1])


def _panel(axes: Any, names: list[str], values: list[float], unit: str) -> None:
    colours = [OURS if name.startswith("onecopy") else THEIRS for name in names]
    drawn = axes.barh(range(len(names)), values, color=colours, height=0.7)
    axes.bar_label(drawn, [f"{value:.3g} {unit}" for value in values], padding=3, fontsize=9)
    axes.set_xlim(0, max(values) * 1.22)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False, left=False, labelcolor=INK)


def _title(content: dict[str, Any]) -> str:
    machine, records = content["machine"], content["records"]
    return (
        f"{records / 1e6:.0f} million records ({records * 24 / 1e9:.1f} GB) in a file to the sum "
        f"of one field, 8 workers\n{machine['cores']} cores, Python {machine['python']}, "
        f"{machine['system']} {machine['kernel'].split('-')[0]}, {machine['date'][:10]}"
    )


def _mark(axes: Any, value: float) -> None:
    """A line where the data's own size is."""
    axes.axvline(value, color=INK, linestyle="--", linewidth=1, zorder=0)
    axes.annotate(
        "the data itself",
        (value, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=8,
        color=INK,
    )


def draw(out: Path, content: dict[str, Any]) -> list[Path]:
    """Writes ``main-job.svg`` and ``.png``; nothing when the main job was not run."""
    if not all(content["figures"].get(name, {}).get("medians") for name in NEEDED):
        return []
    # By name: an extra, which the environment that checks types does not have.
    mpl = import_module("matplotlib")
    mpl.use("Agg")
    # The same content gives the same file.
    mpl.rcParams.update({"svg.hashsalt": "onecopy", "font.family": "DejaVu Sans"})
    plt = import_module("matplotlib.pyplot")
    ways = rows(content)
    names = [way[0] for way in ways]
    figure, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(9, 1.5 + 0.34 * len(ways)), layout="constrained"
    )
    figure.suptitle(_title(content), fontsize=11, color=INK)
    _panel(left, names, [way[1] for way in ways], "s")
    _panel(right, names, [way[2] / 1e9 for way in ways], "GB")
    left.set_title("whole process, seconds", fontsize=10, color=INK)
    right.set_title("peak memory (sum of PSS), GB", fontsize=10, color=INK, pad=16)
    left.set_yticks(range(len(ways)), names)
    left.invert_yaxis()
    _mark(right, content["records"] * 24 / 1e9)
    paths = [out / "main-job.svg", out / "main-job.png"]
    figure.savefig(paths[0], metadata={"Date": None})
    figure.savefig(paths[1], dpi=150)
    plt.close(figure)
    return paths


if __name__ == "__main__":
    source = Path(sys.argv[1])
    for path in draw(source.parent, json.loads(source.read_text())):
        print(path)
