"""Sections on single classes and pictures: confusion matrix, right and wrong pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from mcuformer.data.images import Images
from mcuformer.report.blocks import Block, Details, Figure, Gallery, Picture, Table, Text
from mcuformer.report.predictions import Predictions
from mcuformer.report.run_files import RunFiles
from mcuformer.report.svg import WIDTH, drawing, element
from oplib.ops.base import Array

NUMBERED = 12  # classes up to which a cell has its number
DRAWN = 64  # classes up to which there is a picture
PAIRS = 10  # of classes that are confused most
NAME_ROOM, EDGE = 96, 8
LETTERS = 13  # of a class's name beside the matrix


def confusion(files: RunFiles) -> list[Block]:
    """Show which classes the integer network takes for which."""
    kept, names = files.predictions, files.exported.saved.class_names
    counts = kept.confusion(len(names))
    blocks: list[Block] = []
    if len(names) <= DRAWN:
        caption = "Rows: true class; columns: class given. Red: wrong; the stronger, the more"
        blocks.append(Figure(_matrix(counts, names), caption))
    else:
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
    return [*blocks, Details(f"All {len(names):,} classes", [by_class])]


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
    size = (WIDTH - NAME_ROOM - EDGE) / len(names)
    top = NAME_ROOM
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = []
    for true, name in enumerate(names):
        y = top + size * true
        if len(names) <= 2 * NUMBERED:
            parts += _names(name, y + size / 2 + 4, NAME_ROOM + size * true + size / 2 + 4)
        for given in np.flatnonzero(counts[true]):
            x, share = NAME_ROOM + size * int(given), float(shares[true, given])
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
    frame = {"x": NAME_ROOM, "y": top, "width": side, "height": side}
    parts.append(element("rect", class_="frame", **frame))
    words = f"{len(names)} classes, {int(counts.sum())} images; the table has the largest mistakes."
    return drawing("Confusion matrix", words, int(top + side + EDGE), parts)


def _names(name: str, y: float, x: float) -> list[str]:
    """Return a class's name beside its row and, upright, above its column."""
    short = escape(name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}\u2026")
    row = {"x": NAME_ROOM - 6, "y": y, "text_anchor": "end"}
    turned = f"rotate(-90 {x:.1f} {NAME_ROOM - 6})"
    return [
        element("text", short, class_="tick", **row),
        element("text", short, class_="tick", x=x, y=NAME_ROOM - 6, transform=turned),
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
        text = f"Wrong: the {len(both[True])} of {int(kept.wrong.sum()):,} that it is surest of."
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
        f"{names[int(index)]} {100 * float(share):.0f} %"
        for index, share in zip(kept.classes[number], kept.shares[number], strict=True)
    ]
    right = not kept.wrong[number]
    lines = [f"{given[0]}, right"] if right else [f"{given[0]}, wrong", f"is {true}"]
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
