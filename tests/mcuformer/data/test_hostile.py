"""Data files made to harm: none acts or hangs; each is refused in one line or read correctly."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import signal
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mcuformer.data.dataset import DataConfig, load
from mcuformer.data.infer import infer
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError

SECONDS = 60  # after which a test is taken to hang


class Command:
    """Touches a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch acted",)


def npy(shape: str, content: bytes, descr: str = "|u1") -> bytes:
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (117 - len(head)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


def saved(**change: Any) -> bytes:
    buffer, images, labels = io.BytesIO(), np.zeros((12, 8, 8), np.uint8), np.arange(12) % 2
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(buffer, **arrays | change)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def fake_array(shape: tuple[int, ...]) -> bytes:
    """Return a pickled batch whose array claims a shape that its bytes do not have."""
    batch = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [0]}
    return pickle.dumps(batch, protocol=2).replace(
        b"K\x01M\x00\x0c\x86", b"\x8a\x06" + shape[0].to_bytes(6, "little") + b"M\x00\x0c\x86"
    )


COUNTS = {f"{name}.npy": npy("(12,)", bytes(96), "<i8") for name in ("y_train", "x_test", "y_test")}
BOMB = zlib.compress(bytes(64 * 2**20), 9)  # 64 MiB in 64 KiB
NPZ = {
    "pickled labels": (saved(y_train=np.array([Command()] * 12)), "holds Python objects"),
    "names that leave the folder": (zipped({"../../acted": b"x"}), "arrays missing"),
    "a header that claims a terabyte": (
        zipped({"x_train.npy": npy("(1000000, 1000, 1000)", bytes(10)), **COUNTS}),
        "does not have the size that its header claims",
    ),
    "a header of code": (
        zipped({"x_train.npy": npy("__import__('os').system('touch acted')", b""), **COUNTS}),
        "not a readable .npz file",
    ),
    "a class name with markup": (saved(classes=np.array(["[/b]", "[red]x"])), None),
    "a class name that clears the screen": (
        saved(classes=np.array(["a\x1b[2J", "b"])),
        "a class name must be printable text",
    ),
}
PICTURES = {
    "30000 x 30000 pixels": (png(30000, 30000), "it has more than 89,478,485 pixels"),
    "a text chunk of 64 MiB": (png(8, 8, (b"zTXt", b"k\0\0" + BOMB)), "not a readable image"),
    "four gigapixels in a header": (png(2**31 - 1, 2), "not a readable image"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of BMP, JPEG"),
}


@pytest.fixture(autouse=True)
def in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that hangs, or after which a command has acted."""
    monkeypatch.chdir(tmp_path)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    assert not (tmp_path / "acted").exists()
    assert not (tmp_path.parent / "acted").exists()


@pytest.fixture
def small(grey: Preprocessing) -> Preprocessing:
    return grey.model_copy(update={"img_size": 8})


Build = Callable[..., DataConfig]


@pytest.mark.parametrize("name", NPZ)
def test_npz(tmp_path: Path, small: Preprocessing, data_config: Build, name: str) -> None:
    content, message = NPZ[name]
    path = tmp_path / "in" / "set.npz"
    path.parent.mkdir()
    path.write_bytes(content)
    config = data_config("npz", path, small, num_classes=2)
    if message is None:
        assert load(config).class_names == ("[/b]", "[red]x")
        return
    with pytest.raises(DataError, match=message) as fault:
        load(config)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(tmp_path: Path, small: Preprocessing, name: str) -> None:
    content, message = PICTURES[name]
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as fault:
        small.read_image(path)
    assert "\n" not in str(fault.value)


def test_a_gzip_bomb(tmp_path: Path, grey: Preprocessing, data_config: Build) -> None:
    """It is not unpacked beyond what its header claims, nor at all if that is too much."""
    labels = gzip.compress(struct.pack(">HBBI", 0, 8, 1, 4) + bytes(4))
    for claimed, message in ((1, "got more bytes"), (2**31, r"larger than data\.memory_gib")):
        bomb = gzip.compress(struct.pack(">HBB3I", 0, 8, 3, claimed, 1, 1) + bytes(2**24))
        for part in ("train", "t10k"):
            (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(labels)
            (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(bomb)
        with pytest.raises(DataError, match=message):
            load(data_config("idx", tmp_path, grey, memory_gib=1.0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({b"data": Command(), b"labels": []}), "it names posix.system"),
        (b'c__builtin__\neval\n(S\'open("acted", "w")\'\ntR.', "it names __builtin__.eval"),
        (fake_array((2**40,)), "not a CIFAR-10 Python batch"),
    ],
)
def test_pickles(
    tmp_path: Path, colour: Preprocessing, data_config: Build, content: bytes, message: str
) -> None:
    for number in range(1, 6):
        (tmp_path / f"data_batch_{number}").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(data_config("cifar10", tmp_path, colour))


def test_a_folder_of_traps(tmp_path: Path, small: Preprocessing, data_config: Build) -> None:
    """A pipe, a device, links in a circle, odd names: five pictures of each class remain."""
    root = tmp_path / "set"
    for name in ("[b]", "a", "{0}%s"):
        (root / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (9, 9), number).save(root / name / f"{number} ; touch acted.png")
    os.mkfifo(root / "a" / "cat.jpg")
    (root / "a" / "zero.png").symlink_to("/dev/zero")
    (root / "a" / "circle.png").symlink_to("circle.png")
    (root / "a" / "above").symlink_to(root)
    (root / "...").mkdir()
    (root / "circle").symlink_to("circle")
    assert infer({"format": "image_folder", "root": str(root)})["num_classes"] == 3
    data = load(data_config("image_folder", root, small, num_classes=3))
    assert data.class_names == ("[b]", "a", "{0}%s")
    assert len(data.train) + len(data.steering) + len(data.test) == 15


def test_a_pipe_instead_of_a_file(tmp_path: Path, small: Preprocessing, data_config: Build) -> None:
    os.mkfifo(tmp_path / "set.npz")
    with pytest.raises(DataError, match="not found"):
        load(data_config("npz", tmp_path / "set.npz", small))
    with pytest.raises(DataError, match="no such image"):
        small.read_image(tmp_path / "set.npz")
