"""Convert CIFAR-10 from a zip of lossless WebP sheets to binary batches, for data=cifar10.

    python tools/convert_cifar10.py cifar10_train.zip OUT [--json]

The zip holds sheets of 40 x 25 images, labels.npy, and meta.json with the digests of both. It has
no test part: 10 % of the training images become one (data.test_fraction).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tool
from PIL import Image
from tool import Parser

from mcuformer.data.cifar10_reader import CIFAR10_TRAIN
from mcuformer.errors import DataError
from mcuformer.run.artifact import write_bytes

ROWS, COLUMNS, SIDE = 25, 40, 32


def read_sheets(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read images (B, 32, 32, 3) and labels (B,).

    Raises:
        DataError: the zip is missing or damaged, or a digest differs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(archive.read("meta.json"))
            labels = np.load(io.BytesIO(archive.read("labels.npy")), allow_pickle=False)
            names = sorted(name for name in archive.namelist() if name.startswith("sheets/"))
            sheets = [_read_sheet(archive.read(name)) for name in names]
            images = np.concatenate(sheets)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"not a zip of CIFAR-10 sheets: {error}", where=path) from error
    for array, key in ((images, "raw_sha256_x"), (labels, "raw_sha256_y")):
        if hashlib.sha256(array.tobytes()).hexdigest() != meta[key]:
            raise DataError("damaged: the digest differs", where=path, expected=meta[key])
    return images, labels


def _read_sheet(content: bytes) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    grid = pixels.reshape(ROWS, SIDE, COLUMNS, SIDE, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(-1, SIDE, SIDE, 3)


def convert(options: argparse.Namespace) -> dict[str, Any]:
    """Write the binary batches."""
    images, labels = read_sheets(options.zip)
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)  # NHWC -> NCHW
    records = np.concatenate([labels.astype(np.uint8)[:, None], planes], axis=1)
    parts = np.array_split(records, len(CIFAR10_TRAIN))
    for name, part in zip(CIFAR10_TRAIN, parts, strict=True):
        write_bytes(options.out / f"{name}.bin", part.tobytes())
    print(f"{options.out}: {len(images)} images in {len(parts)} batches")
    return {"images": len(images), "batches": len(parts)}


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("zip", type=Path)
    parser.add_argument("out", type=Path, help="folder for the binary batches")
    return tool.run(parser, convert)


if __name__ == "__main__":
    raise SystemExit(main())
