"""Figures of runs, drawn with matplotlib, which is imported on demand."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcuformer.errors import ToolMissingError
from mcuformer.space import SearchSpace

Index = tuple[int, ...]
MARKERS = "osv^"  # after all colours were used, the next marker
MEMORY_COLORS = 14  # number of buffers with a colour of their own


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ToolMissingError(
            "matplotlib not found; install with `pip install matplotlib`"
        ) from error
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _png(figure: Any) -> bytes:
    """Return the figure as PNG bytes that depend only on its content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    _pyplot().close(figure)
    return buffer.getvalue()


def draw_space_search(
    space: SearchSpace,
    visits: Sequence[Mapping[str, Any]],
    chosen: Index,
    admitted: Mapping[Index, float],
) -> bytes:
    """Draw the path of a space search, the fitted slopes over time, and the admitted fraction.

    Args:
        space: search space.
        visits: visits in order, as plain containers.
        chosen: grid index of the chosen point.
        admitted: admitted fraction rho by grid index.

    Returns:
        A PNG. Further axes are projected onto rank ratio and patch size.

    Raises:
        ToolMissingError: matplotlib is not installed.
    """
    plt = _pyplot()
    figure, (path, slopes, map_axis) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    _draw_path(figure, path, space, visits, chosen)
    _draw_slopes(slopes, space, visits)
    _draw_admitted(figure, map_axis, space, admitted)
    return _png(figure)


def draw_admission_maps(
    space: SearchSpace, maps: Mapping[str, Mapping[str, Mapping[Index, float]]]
) -> bytes:
    """Draw the admitted fraction over the grid, one row per device, one column per estimator.

    Args:
        space: search space.
        maps: admitted fraction rho by device, estimator and grid index.

    Returns:
        A PNG.

    Raises:
        ToolMissingError: matplotlib is not installed.
    """
    plt = _pyplot()
    columns = max(len(by_name) for by_name in maps.values())
    size = (1.5 + 0.55 * columns * space.shape[0], 3.2 * len(maps))
    figure, axes = plt.subplots(
        len(maps), columns, figsize=size, squeeze=False, layout="constrained"
    )
    for row, (device, by_name) in zip(axes, maps.items(), strict=True):
        for axis, (name, admitted) in zip(row, by_name.items(), strict=True):
            _draw_admitted(figure, axis, space, admitted)
            axis.set_title(f"{device}: {name}")
    return _png(figure)


def _plane(space: SearchSpace, index: Sequence[int]) -> tuple[int, int]:
    """Return the (column, row) of a grid index, projected onto rank ratio and patch size."""
    names = list(space.axes)
    return index[names.index("rank_ratio")], index[names.index("patch_size")]


def _grid_labels(axis: Any, space: SearchSpace, title: str) -> None:
    tokens = [(-(-space.img_size[0] // patch)) ** 2 for patch in space.patch_size]
    ratios = space.axes["rank_ratio"]
    axis.set_xticks(range(len(ratios)), [f"{r:g}" for r in ratios])
    axis.set_yticks(range(len(tokens)), [str(n) for n in tokens])
    axis.set_xlabel("rank ratio")
    axis.set_ylabel("tokens")
    axis.set_xlim(-0.6, len(ratios) - 0.4)
    axis.set_ylim(-0.6, len(tokens) - 0.4)
    axis.set_title(title)


def _draw_path(
    figure: Any,
    axis: Any,
    space: SearchSpace,
    visits: Sequence[Mapping[str, Any]],
    chosen: Index,
) -> None:
    counts = Counter(_plane(space, visit["index"]) for visit in visits)
    last = {_plane(space, v["index"]): v["score"] for v in visits}
    scored = {cell: value for cell, value in last.items() if value is not None}
    if scored:
        x, y = zip(*scored, strict=True)
        dots = axis.scatter(x, y, c=list(scored.values()), s=420, cmap="viridis", zorder=2)
        figure.colorbar(dots, ax=axis, label="score Q")
    for cell in last.keys() - scored.keys():
        axis.scatter(*cell, s=420, facecolors="none", edgecolors="grey", linestyle="--")
    for visit in visits:
        if visit["fit"] is None:
            continue
        start, end = _plane(space, visit["fit"]["origin"]), _plane(space, visit["index"])
        if start != end:
            style = {"arrowstyle": "->", "color": "0.45", "shrinkA": 11, "shrinkB": 11}
            axis.annotate("", xy=end, xytext=start, arrowprops=style)
    for cell, count in counts.items():
        axis.annotate(
            str(count), cell, ha="center", va="center", color="white", weight="bold", zorder=3
        )
    column, row = _plane(space, chosen)
    axis.scatter(column, row, s=800, facecolors="none", edgecolors="crimson", linewidths=2)
    _grid_labels(axis, space, "visits; arrows: by the trend, from\nthe best point; ring: chosen")


def _draw_slopes(axis: Any, space: SearchSpace, visits: Sequence[Mapping[str, Any]]) -> None:
    fits = [(i + 1, visit["fit"]["slopes"]) for i, visit in enumerate(visits) if visit["fit"]]
    for number, name in enumerate(space.axes):
        axis.plot([i for i, _ in fits], [s[number] for _, s in fits], marker="o", label=name)
    axis.axhline(0.0, color="0.7", linewidth=1)
    axis.set_xlim(0.5, max(1, len(visits)) + 0.5)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("visit")
    axis.set_ylabel("slope, score points per grid step")
    axis.set_title("fitted slopes" if fits else "fitted slopes (no trend was fitted)")
    if fits:
        axis.legend()


def _draw_admitted(
    figure: Any, axis: Any, space: SearchSpace, admitted: Mapping[Index, float]
) -> None:
    plane: dict[tuple[int, int], list[float]] = {}
    for index, fraction in admitted.items():
        plane.setdefault(_plane(space, index), []).append(fraction)
    rows = [
        [sum(plane[column, row]) / len(plane[column, row]) for column in range(space.shape[0])]
        for row in range(len(space.patch_size))
    ]
    image = axis.imshow(rows, vmin=0.0, vmax=1.0, cmap="magma", aspect="auto", origin="lower")
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            colour = "black" if value > 0.6 else "white"
            text = f"{value:.2f}".removeprefix("0") if value < 1 else "1"
            axis.annotate(
                text, (column, row), ha="center", va="center", color=colour, fontsize="small"
            )
    figure.colorbar(image, ax=axis, label="admitted fraction")
    _grid_labels(axis, space, "admitted fraction (rho)")


def draw_series(
    series: Mapping[str, Sequence[tuple[float, float, float]]], x: str, y: str, *, connected: bool
) -> bytes:
    """Draw points by series, each with an error bar.

    Args:
        series: by title, for each point the horizontal and vertical value, and the bar's length to
            each side.
        x: what the horizontal values are.
        y: what the vertical values are.
        connected: whether a line joins the points of a series, in the order of their x.

    Returns:
        A PNG.

    Raises:
        ToolMissingError: matplotlib is not installed.
    """
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(8.0, 4.8), layout="constrained")
    for number, (title, points) in enumerate(series.items()):
        columns = list(zip(*sorted(points), strict=True)) or [(), (), ()]
        style = MARKERS[number // len(plt.rcParams["axes.prop_cycle"]) % len(MARKERS)]
        line = "-" if connected else "none"
        axis.errorbar(*columns, marker=style, linestyle=line, capsize=3, label=title)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
    return _png(figure)


def draw_distributions(samples: Mapping[str, Sequence[float]], chosen: str, label: str) -> bytes:
    """Draw cumulative distributions, one line each; the chosen one is thick and drawn last.

    Args:
        samples: numbers in ascending order by name; a distribution without any is left out.
        chosen: name of the chosen distribution.
        label: what the numbers are.

    Returns:
        A PNG.

    Raises:
        ToolMissingError: matplotlib is not installed.
    """
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(8.0, 4.8), layout="constrained")
    for name, values in sorted(samples.items(), key=lambda item: item[0] == chosen):
        if values:
            shares = [(index + 1) / len(values) for index in range(len(values))]
            mean, width = sum(values) / len(values), 3.0 if name == chosen else 1.0
            axis.step(
                values, shares, where="post", linewidth=width, label=f"{name}: mean {mean:,.0f}"
            )
    axis.set_xlabel(label)
    axis.set_ylabel("share at most as large")
    axis.set_ylim(0.0, 1.02)
    axis.legend(fontsize=7, title=f"chosen: {chosen}", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure)


@dataclass(frozen=True)
class MemoryUse:
    """What a network needs of one of its memories.

    Args:
        name: name of the memory.
        buffers: for each call, the bytes of each live buffer by name. Names that differ only in the
            number of the block share a colour.
        limit: bytes that device and budget allow.
        size: bytes that are planned.
    """

    name: str
    buffers: Sequence[Mapping[str, int]]
    limit: int
    size: int


def draw_memory(calls: Sequence[str], memories: Sequence[MemoryUse]) -> bytes:
    """Draw the live bytes of each call, stacked by buffer, with the planned size and the limit.

    Args:
        calls: names of the calls, in order.
        memories: what the calls use of each memory, drawn one below the other.

    Returns:
        A PNG.

    Raises:
        ToolMissingError: matplotlib is not installed.
    """
    plt, rows = _pyplot(), len(memories)
    width = max(min(18.0, 4.0 + 0.16 * len(calls)), 8.0)
    figure, axes = plt.subplots(
        rows, sharex=True, squeeze=False, figsize=(width, 3.2 * rows + 1.6), layout="constrained"
    )
    for axis, memory in zip(axes[:, 0], memories, strict=True):
        _draw_use(axis, memory, plt.get_cmap("tab20").colors)
    step = -(-len(calls) // 60)
    axis = axes[-1, 0]
    axis.set_xlim(-0.6, len(calls) - 0.4)
    axis.set_xticks(range(0, len(calls), step), calls[::step], rotation=90, fontsize=6)
    return _png(figure)


def _draw_use(axis: Any, memory: MemoryUse, colors: Sequence[Any]) -> None:
    """Draw the bars of one memory."""
    totals: Counter[str] = Counter()
    merged = [Counter[str]() for _ in memory.buffers]
    for moment, sizes in zip(merged, memory.buffers, strict=True):
        for name, size in sizes.items():
            moment[without_number(name)] += size
        totals.update(moment)
    names = sorted(totals, key=lambda name: (name.startswith("scratch"), -totals[name]))
    kept = names[:MEMORY_COLORS]
    bottom = [0] * len(merged)
    for index, name in enumerate([*kept, *(["others"] if len(names) > len(kept) else [])]):
        members = [name] if name in totals and index < len(kept) else names[len(kept) :]
        heights = [sum(moment[member] for member in members) for moment in merged]
        color = colors[index % len(colors)]
        axis.bar(range(len(merged)), heights, 0.95, bottom, label=name, color=color)
        bottom = [start + height for start, height in zip(bottom, heights, strict=True)]
    size, limit = memory.size, memory.limit
    axis.axhline(size, color="black", linewidth=1, label=f"{memory.name} {size:,}")
    shown = limit <= 3 * size
    axis.set_ylim(0, 1.05 * max(size, limit if shown else 0))
    if shown:
        axis.axhline(limit, color="red", linestyle="--", label=f"limit {limit:,}")
    else:
        axis.plot([], [], color="red", linestyle="--", label=f"limit {limit:,}, beyond the picture")
    axis.set_ylabel("live bytes")
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def without_number(name: str) -> str:
    """Return a tensor's name without its block: ``mlp.fc1`` for ``blocks.3.mlp.fc1``."""
    parts = name.split(".")
    return ".".join(parts[2:]) if parts[0] == "blocks" else name
