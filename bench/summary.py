"""What ``bench/engines.py --json`` measured on several models: tables, and a plot.

::

    python bench/summary.py FILE.json ... [--plot FILE.svg]

Each cell of the first table is prefill / decode, tokens a second, medians over the rounds; the second has
ratios and shares of the bandwidth, see ``bench/engines.py``. In the plot, each model has a column and each
engine a colour; above a bar stands how many times as fast as the official engine it is, the median of the
ratios within each round. It has no background, and its colours are read on light and on dark pages. It needs
matplotlib.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines import PEERS, Rounds, comparison, ratio, title

NAMES = {
    "native": "native",
    "native-huge": "native, huge pages",
    "native-avx2": "native, AVX2",
    "official": "official",
    "llama": "llama.cpp",
    "llama-repacked": "llama.cpp, repacked",
    "openvino": "OpenVINO",
}
# Told apart by people who do not see all colours; readable on light pages and on dark ones.
COLOURS = {
    "native": "#0072b2",
    "native-huge": "#3a9fe0",
    "native-avx2": "#7a6fd0",
    "official": "#8a8a8a",
    "llama": "#d55e00",
    "llama-repacked": "#e69f00",
    "openvino": "#009e73",
}
INK = "#808080"


def table(results: Sequence[dict[str, Any]]) -> str:
    """All models in one, a row for each prompt, as Markdown."""
    engines = [name for name in PEERS if any(name in peers for _, peers in _cases(results))]
    lines = [
        f"| model | prompt | {' | '.join(NAMES[name] for name in engines)} |",
        f"|{'---|' * (len(engines) + 2)}",
    ]
    for result in results:
        for prompt, peers in result["rates"].items():
            cells = [_cell(peers[name]) if name in peers else "" for name in engines]
            lines.append(f"| {title(result)} | {prompt} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw it; the format is that of the file's name."""
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.use("svg")
    # Text stays text, and the same figures give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "litertlm", "font.family": "sans-serif"})
    mpl.rcParams.update(dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK))
    engines = [name for name in PEERS if any(name in peers for _, peers in _cases(results))]
    figure, axes = pyplot.subplots(
        2, len(results), figsize=(1.2 + 3.1 * len(results), 5.6), squeeze=False, layout="constrained"
    )
    for column, result in enumerate(results):
        for row, kind in enumerate(("prefill", "decode")):
            _bars(axes[row][column], result["rates"], engines, kind)
        axes[0][column].set_title(title(result))
        axes[1][column].set_xlabel("tokens of the prompt")
    for row, kind in enumerate(("prefill", "decode")):
        axes[row][0].set_ylabel(f"{kind}, tokens a second")
    patches = [pyplot.Rectangle((0, 0), 1, 1, color=COLOURS[name]) for name in engines]
    figure.legend(
        patches,
        [NAMES[name] for name in engines],
        loc="outside lower center",
        ncols=len(engines),
        frameon=False,
    )
    figure.savefig(path, transparent=True, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(axes: Any, rates: dict[str, dict[str, Rounds]], engines: Sequence[str], kind: str) -> None:
    """A group for each prompt, in it a bar for each engine that the model was measured on."""
    width = 0.84 / len(engines)
    for group, peers in enumerate(rates.values()):
        present = [name for name in engines if name in peers]
        for place, name in enumerate(present):
            height = statistics.median(one[kind] for one in peers[name])
            x = group + (place + 0.5 - len(present) / 2) * width
            axes.bar(x, height, width * 0.92, color=COLOURS[name])
            if "official" in peers:
                times = ratio(peers, name, ["official"], kind)
                label = f"{times:.1f}" if times < 9.95 else f"{times:.0f}"
                axes.annotate(
                    label, (x, height), (0, 2), textcoords="offset points", ha="center", fontsize=7.5
                )
    axes.set_xticks(range(len(rates)), list(rates))
    axes.tick_params(length=0)
    axes.margins(y=0.1)
    axes.grid(axis="y", color=INK, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(INK)


def _cases(results: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Rounds]]]:
    return [case for result in results for case in result["rates"].items()]


def _cell(rounds: Rounds) -> str:
    prefill, decode = (statistics.median(one[kind] for one in rounds) for kind in ("prefill", "decode"))
    return f"{prefill:.0f} / {decode:.0f}" if decode >= 100 else f"{prefill:.0f} / {decode:.1f}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    arguments = parser.parse_args()
    results = [json.loads(file.read_text(encoding="utf-8")) for file in arguments.files]
    print(table(results))
    print(f"\n{comparison(results)}")
    if arguments.plot:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
