"""The learning curve: a PNG for a report, and a few lines of characters for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

BARS = " ▁▂▃▄▅▆▇█"
Reference = Mapping[str, float]


def learning_curve_png(path: Path, steps: Sequence[int], returns: Sequence[float], references: Reference) -> None:
    """Write the curve of mean return against steps, with a horizontal line for each reference value."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), dpi=130)
    axes.plot(steps, returns, color="#c4c9d4", linewidth=0.8, label="PPO, each rollout")
    axes.plot(steps, smoothed(returns), color="#1f4e9c", linewidth=2.2, label="PPO, smoothed")
    styles = (("#b3541e", "--"), ("#6b7280", ":"), ("#2e7d4f", "-."), ("#7b3fa0", "-"))
    for (name, value), (colour, style) in zip(references.items(), styles, strict=False):
        axes.axhline(value, color=colour, linestyle=style, linewidth=1.3, label=f"{name} {value:.3f}")
    axes.set_xlabel("simulator steps")
    axes.set_ylabel("mean return (share of stays survived)")
    axes.set_title("Learning inside the fence: ICU-Sepsis")
    axes.ticklabel_format(axis="x", style="plain")
    axes.xaxis.set_major_formatter(lambda steps, _place: f"{steps / 1e6:g}M" if steps >= 1e6 else f"{steps / 1e3:g}k")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def learning_curve_text(returns: Sequence[float], references: Reference, *, width: int = 64, height: int = 8) -> str:
    """Return the smoothed curve as lines of block characters, with its reference values at the right edge."""
    if not returns:
        return "(no metrics)"
    columns = _resampled(smoothed(returns), width)
    low, high = min([*columns, *references.values()]), max([*columns, *references.values()])
    span = (high - low) or 1.0
    labels = _labels(references, low, span, height)
    rows = []
    for row in range(height - 1, -1, -1):
        cells = (min(max((value - low) / span * height - row, 0.0), 1.0) for value in columns)
        line = "".join(BARS[round(cell * (len(BARS) - 1))] for cell in cells)
        rows.append(f"{low + span * (row + 0.5) / height:6.3f} │{line}│ {labels.get(row, '')}".rstrip())
    return "\n".join(rows)


def smoothed(values: Sequence[float], share: float = 0.05) -> list[float]:
    """Return a trailing mean over the last `share` of the points, for the eye only."""
    window = max(1, round(len(values) * share))
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    return [(sums[i + 1] - sums[max(0, i + 1 - window)]) / min(i + 1, window) for i in range(len(values))]


def _resampled(values: Sequence[float], width: int) -> list[float]:
    return [values[min(len(values) - 1, round(i * (len(values) - 1) / max(1, width - 1)))] for i in range(width)]


def _labels(references: Reference, low: float, span: float, height: int) -> dict[int, str]:
    labels: dict[int, str] = {}
    for name, value in references.items():
        row = min(height - 1, int((value - low) / span * height))
        labels[row] = f"{labels[row]}, {name} {value:.3f}" if row in labels else f"← {name} {value:.3f}"
    return labels
