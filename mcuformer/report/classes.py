"""Sections on single classes and pictures: confusion matrix, right and wrong pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from mcuformer.data.images import Images
from mcuformer.report.blocks import Block, Details, Figure, Gallery, Grid, Picture, Table, Text
from mcuformer.report.predictions import Predictions
from mcuformer.report.run_files import RunFiles
from mcuformer.report.svg import WIDTH, drawing, element
from oplib.ops.base import Array

NUMBERED = 12  # classes up to which a cell has its number
DRAWN = 64  # classes up to which there is a picture
PAIRS = 10  # of classes that are confused most
EDGE = 8
LETTERS, LETTER = 13, 6.4  # of a class's name beside the matrix, and the width of one


def confusion(files: RunFiles) -> list[Block]:
    """Show which classes the integer network takes for which."""
    kept, names = files.predictions, files.exported.saved.class_names
    counts = kept.confusion(len(names))
    columns: list[list[Block]] = []
    if len(names) <= DRAWN:
        caption = "Rows: true class; columns: class given. Red: wrong; the stronger, the more"
        columns.append([Figure(_matrix(counts, names), caption)])
    blocks: list[Block] = []
    if not columns:
        blocks.append(Text(f"With {len(names):,} classes the matrix is not drawn.", quiet=True))
    agreed = int((kept.float_classes == kept.classes[:, 0]).sum())
    total = len(kept.labels)
    text = (
        f"Integer reference on all {total:,} test images: {int(kept.wrong.sum()):,} wrong. Float "
        f"network and integer network give the same class for {agreed:,} of {total:,}."
    )
    blocks.append(Text(text, quiet=True))
    pairs = _pairs(counts, names)
    if pairs:
        blocks.append(Table(("true class", "taken for", "images"), pairs, words=2))
    by_class = Table(("class", "images", "right", "right %"), _by_class(counts, names))
    blocks.append(Details(f"All {len(names):,} classes", [by_class]))
    return [Grid([*columns, blocks])]


def _pairs(counts: Array, names: Sequence[str]) -> list[list[str]]:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    places = [divmod(int(place), len(names)) for place in order]
    return [
        [names[true], names[given], str(wrong[true, given])]
        for true, given in places
        if wrong[true, given]
    ]


def _by_class(counts: Array, names: Sequence[str]) -> list[list[str]]:
    totals, right = counts.sum(axis=1), counts.diagonal()
    return [
        [name, f"{total:,}", f"{hits:,}", f"{100 * hits / total:.1f}" if total else ""]
        for name, total, hits in zip(names, totals, right, strict=True)
    ]


def _matrix(counts: Array, names: Sequence[str]) -> str:
    """Return the matrix as a drawing; colours are shares of the true class."""
    named = len(names) <= 2 * NUMBERED
    longest = max(len(_short(name)) for name in names) if named else 0
    room = EDGE + LETTER * longest + EDGE
    size = (WIDTH - room - EDGE) / len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = []
    for true, name in enumerate(names):
        y = room + size * true
        if named:
            parts += _names(name, room, y + size / 2 + 4)
        for given in map(int, np.flatnonzero(counts[true])):
            x, share = room + size * given, float(shares[true, given])
            words = f"{name} taken for {names[given]}: {counts[true, given]}"
            parts.append(
                element(
                    "rect",
                    element("title", escape(words)),
                    class_="box" if given == true else "box miss",
                    x=x,
                    y=y,
                    width=size,
                    height=size,
                    fill_opacity=f"{0.12 + 0.88 * share:.2f}",
                )
            )
            if len(names) <= NUMBERED:
                kind = "cell strong" if share > 0.45 else "cell"
                place = {"x": x + size / 2, "y": y + size / 2 + 4, "text_anchor": "middle"}
                parts.append(element("text", str(counts[true, given]), class_=kind, **place))
    side = size * len(names)
    frame = {"x": room, "y": room, "width": side, "height": side}
    parts.append(element("rect", class_="frame", **frame))
    words = f"{len(names)} classes, {int(counts.sum())} images; the table has the largest mistakes."
    return drawing("Confusion matrix", words, round(room + side + EDGE), parts)


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}\u2026"


def _names(name: str, room: float, place: float) -> list[str]:
    """Return a class's name beside its row and, upright, above its column."""
    short, edge = escape(_short(name)), room - 6.0
    turned = f"rotate(-90 {place:.1f} {edge:.1f})"
    return [
        element("text", short, class_="tick", x=edge, y=place, text_anchor="end"),
        element("text", short, class_="tick", x=place, y=edge, transform=turned),
    ]


def pictures(files: RunFiles) -> list[Block]:
    """Show a few test images that the integer network takes for something else, and right ones."""
    kept, names = files.predictions, files.exported.saved.class_names
    both = {
        wrong: [
            _picture(kept, place, int(number), names)
            for place, number in enumerate(kept.shown)
            if bool(kept.wrong[number]) == wrong
        ]
        for wrong in (True, False)
    }
    blocks: list[Block] = []
    if both[True]:
        count, shown = int(kept.wrong.sum()), len(both[True])
        text = f"Wrong: the {shown} of {count:,} that it is surest of."
        text = f"Wrong: all {count}." if count == shown else text
        blocks += [Text(text), Gallery(both[True])]
    else:
        blocks.append(Text("Not one test image is wrong."))
    if both[False]:
        text = f"Right: {len(both[False])}, drawn at random."
        blocks += [Text(text), Gallery(both[False])]
    return blocks


def _picture(kept: Predictions, place: int, number: int, names: Sequence[str]) -> Picture:
    true = names[int(kept.labels[number])]
    given = [
        f"{names[int(index)]} ({100 * float(share):.0f} %)"
        for index, share in zip(kept.classes[number], kept.shares[number], strict=True)
    ]
    right = not kept.wrong[number]
    lines = [given[0]] if right else [f"is {true}", f"taken for {given[0]}"]
    lines.append(f"then {given[1]}")
    source = _data_address(kept.pictures[place])
    return Picture(source, f"test image {number}: {true}, taken for {given[0]}", lines, right)


def _data_address(pixels: Images) -> str:
    """Return a picture (H, W, C) as a PNG in a ``data:`` address."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    image.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
