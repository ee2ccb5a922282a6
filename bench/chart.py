"""The one chart: what each way of doing the main job costs, in time and in memory.

Drawn from the JSON, so it can be drawn again without measuring: ``python -m bench.chart
results.json``. Two panels over the same rows; the library in one colour, everybody else in
another (blue and orange of the Okabe-Ito palette, which colour-blind readers tell apart),
and every bar carries its number, so that no colour has to be told apart to read it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

OURS, THEIRS, INK = "#0072B2", "#E69F00", "#333333"
NEEDED = ("file_to_sum", "peak_memory")


def _rows(content: dict[str, Any]) -> list[tuple[str, float, float]]:
    """(way, seconds, bytes) of every way with both figures; slowest last."""
    times, memory = (content["figures"][name]["medians"] for name in NEEDED)
    rows = [(way, times[way], memory[way]) for way in times if way in memory]
    return sorted(rows, key=lambda row: row[1])


def _panel(axes: Any, rows: list[tuple[str, float, float]], column: int, unit: str) -> None:
    values = [row[column] for row in rows]
    colours = [OURS if row[0].startswith("onecopy") else THEIRS for row in rows]
    drawn = axes.barh(range(len(rows)), values, color=colours, height=0.7)
    axes.bar_label(drawn, [f"{value:.3g} {unit}" for value in values], padding=3, fontsize=9)
    axes.set_xlim(0, max(values) * 1.22)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False, left=False, labelcolor=INK)


def _title(content: dict[str, Any]) -> str:
    machine, records = content["machine"], content["records"]
    return (
        f"{records / 1e6:.0f} million records ({records * 24 / 1e9:.1f} GB) in a file to the sum "
        f"of one field\n{machine['cores']} cores, Python {machine['python']}, "
        f"{machine['system']} {machine['kernel'].split('-')[0]}, {machine['date'][:10]}"
    )


def draw(out: Path, content: dict[str, Any]) -> list[Path]:
    """Writes ``main-job.svg`` and ``.png``; nothing when the main job was not run."""
    if not all(content["figures"].get(name, {}).get("medians") for name in NEEDED):
        return []
    import matplotlib as mpl

    mpl.use("Agg")
    # The same content gives the same file.
    mpl.rcParams.update({"svg.hashsalt": "onecopy", "font.family": "DejaVu Sans"})
    from matplotlib import pyplot as plt

    rows = [(way, time, memory / 1e9) for way, time, memory in _rows(content)]
    figure, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(9, 1.4 + 0.34 * len(rows)), layout="constrained"
    )
    figure.suptitle(_title(content), fontsize=11, color=INK)
    _panel(left, rows, 1, "s")
    _panel(right, rows, 2, "GB")
    left.set_title("whole process, seconds", fontsize=10, color=INK)
    right.set_title("peak memory (sum of PSS), GB", fontsize=10, color=INK)
    left.set_yticks(range(len(rows)), [row[0] for row in rows])
    left.invert_yaxis()
    data = content["records"] * 24 / 1e9
    right.axvline(data, color=INK, linestyle="--", linewidth=1)
    right.annotate(
        "the data", (data, 1), xycoords=("data", "axes fraction"), fontsize=8, color=INK,
        xytext=(3, -2), textcoords="offset points", va="bottom",
    )  # fmt: skip
    paths = [out / "main-job.svg", out / "main-job.png"]
    figure.savefig(paths[0], metadata={"Date": None})
    figure.savefig(paths[1], dpi=150)
    plt.close(figure)
    return paths


if __name__ == "__main__":
    source = Path(sys.argv[1])
    for path in draw(source.parent, json.loads(source.read_text())):
        print(path)
