"""Readers of data for tools/fuzz_files.py: valid files of every format, and what reads them.

A target is a pair: a function that writes valid files into a folder, and one that reads them there.
"""

from __future__ import annotations

import gzip
import pickle
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.infer import infer
from mcuformer.data.preprocessing import Preprocessing

Write = Callable[[Path], None]
Read = Callable[[Path], None]
Target = tuple[Write, Read]

GREY = Preprocessing(img_size=8, channel_order="L", mean=(0.5,), std=(0.5,))
COLOUR = Preprocessing(img_size=32, channel_order="RGB", mean=(0.5,) * 3, std=(0.5,) * 3)
CLASSES, PER_CLASS = 2, 5
LABELS = np.repeat(np.arange(CLASSES), PER_CLASS)
CACHE_GIB = 0.25


def config(kind: str, root: Path, pre: Preprocessing, **more: Any) -> DataConfig:
    """Return the configuration of a set of two classes, without a cache."""
    fields: dict[str, Any] = {"name": kind, "format": kind, "root": str(root), "cache_gib": 0.0}
    fields |= {"img_size": pre.img_size, "num_classes": CLASSES, "preprocessing": pre}
    return DataConfig(**fields | more)


def write_npz(compressed: bool, folder: Path) -> None:
    """Write ``set.npz``."""
    images = noise(len(LABELS), 8, 8)
    save: Callable[..., None] = np.savez_compressed if compressed else np.savez
    names = np.array(["cat", "dog"])
    arrays = {"x_train": images, "y_train": LABELS, "x_test": images, "y_test": LABELS}
    save(folder / "set.npz", **arrays, classes=names)


def read_npz(folder: Path) -> None:
    """Read ``set.npz`` as commands do: what it tells first, then all."""
    infer({"format": "npz", "root": str(folder / "set.npz")})
    load(config("npz", folder / "set.npz", GREY))


def write_idx(suffix: str, folder: Path) -> None:
    """Write the four idx files."""
    for part in ("train", "t10k"):
        for name, array in (("images-idx3", noise(len(LABELS), 8, 8)), ("labels-idx1", LABELS)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            content = head + array.astype(np.uint8).tobytes()
            path = folder / f"{part}-{name}-ubyte{suffix}"
            path.write_bytes(gzip.compress(content, mtime=0) if suffix else content)


def write_cifar10(suffix: str, folder: Path) -> None:
    """Write five batches, binary or pickled."""
    labels = np.arange(10)
    for number in range(1, 6):
        rows, path = noise(10, 3072), folder / f"data_batch_{number}{suffix}"
        if suffix:
            path.write_bytes(np.concatenate([labels[:, None].astype(np.uint8), rows], 1).tobytes())
        else:
            batch = {b"data": rows, b"labels": labels.tolist(), b"filenames": [b"x.png"] * 10}
            path.write_bytes(pickle.dumps(batch, protocol=2))


def write_picture(mode: str, suffix: str, options: dict[str, Any], folder: Path) -> None:
    """Write ``picture`` in one format and mode."""
    shape = {"L": (20, 24), "I;16": (20, 24), "RGB": (20, 24, 3), "RGBA": (20, 24, 4)}[mode]
    pixels = noise(*shape)
    if mode == "I;16":
        pixels = pixels.astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(pixels)
    extra: dict[str, Any] = {"exif": exif} if suffix in (".jpg", ".png", ".webp") else {}
    picture.save(folder / f"picture{suffix}", **options | extra)


def read_picture(folder: Path) -> None:
    """Read every picture in the folder, as `predict` does."""
    for path in sorted(folder.glob("picture.*")):
        COLOUR.read_image(path)


def write_folder(folder: Path) -> None:
    """Write a picture folder with training, validation and test parts."""
    formats = (("RGB", ".jpg"), ("RGBA", ".png"), ("RGB", ".webp"), ("L", ".bmp"), ("RGB", ".ppm"))
    for part in ("train", "Val", "test"):
        for name in ("cat", "dog"):
            place = folder / "set" / part / name
            place.mkdir(parents=True)
            for mode, suffix in formats:
                write_picture(mode, suffix, {}, place)


def read_folder(on_error: str, folder: Path) -> None:
    """Read a picture folder as commands do: what it tells, its survey, all of it with crops."""
    infer({"format": "image_folder", "root": str(folder / "set")})
    settings = config("image_folder", folder / "set", COLOUR, on_error=on_error)
    settings.survey()
    load(settings, crops=True)


def cached(folder: Path) -> DataConfig:
    """Return the configuration of the picture folder with a cache beside it."""
    more = {"cache_gib": CACHE_GIB, "cache_dir": str(folder / "cache")}
    return config("image_folder", folder / "set", COLOUR, **more)


def write_cache(folder: Path) -> None:
    """Write a picture folder and a cache of it."""
    write_folder(folder)
    load(cached(folder), crops=True)


def read_cache(folder: Path) -> None:
    """Read a picture folder through its cache; whatever is damaged, the images are the same."""
    through, anew = load(cached(folder)), load(config("image_folder", folder / "set", COLOUR))
    if not np.array_equal(through.test.images[:], anew.test.images[:]):
        raise AssertionError("the cache gave other images")


def noise(*shape: int) -> np.ndarray:
    """Return random bytes, the same at every call."""
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def _read_set(kind: str, pre: Preprocessing, classes: int, folder: Path) -> None:
    load(config(kind, folder, pre, num_classes=classes))


PICTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "png": ("RGB", ".png", {}),
    "png_16_bit": ("I;16", ".png", {}),
    "png_transparent": ("RGBA", ".png", {}),
    "jpeg": ("RGB", ".jpg", {}),
    "jpeg_progressive": ("L", ".jpg", {"progressive": True}),
    "bmp": ("RGB", ".bmp", {}),
    "ppm": ("RGB", ".ppm", {}),
    "webp": ("RGBA", ".webp", {}),
    "webp_lossless": ("RGB", ".webp", {"lossless": True}),
}
READ_IDX = partial(_read_set, "idx", GREY, CLASSES)
READ_CIFAR10 = partial(_read_set, "cifar10", COLOUR, 10)
DATA_TARGETS: dict[str, Target] = {
    "npz": (partial(write_npz, False), read_npz),
    "npz_compressed": (partial(write_npz, True), read_npz),
    "idx": (partial(write_idx, ""), READ_IDX),
    "idx_gz": (partial(write_idx, ".gz"), READ_IDX),
    "cifar10_binary": (partial(write_cifar10, ".bin"), READ_CIFAR10),
    "cifar10_pickle": (partial(write_cifar10, ""), READ_CIFAR10),
    **{name: (partial(write_picture, *spec), read_picture) for name, spec in PICTURES.items()},
    "image_folder": (write_folder, partial(read_folder, "stop")),
    "image_folder_skip": (write_folder, partial(read_folder, "skip")),
    "picture_cache": (write_cache, read_cache),
}
