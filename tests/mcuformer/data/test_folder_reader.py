"""Which files of a folder are pictures of which class and part."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from mcuformer.data.folder_reader import list_picture_folder, skipped_line
from mcuformer.errors import DataError


def write(root: Path, *names: str, size: tuple[int, int] = (8, 8)) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(path)


def test_names_of_parts_and_what_is_skipped(tmp_path: Path) -> None:
    for part in ("Training", "VALID", "Test"):
        write(tmp_path, f"{part}/ant/a.png", f"{part}/ant/deep/b.JPG", f"{part}/bee/c.webp")
    write(tmp_path, "Training/.ipynb_checkpoints/a.png", "__MACOSX/Training/ant/a.png")
    write(tmp_path, "Training/ant/.hidden.png", "masks/a.png")
    for junk in ("Training/Thumbs.db", "Training/ant/x.HEIC", "Training/bee/notes.txt", "README"):
        (tmp_path / junk).write_bytes(b"junk")
    folder = list_picture_folder(tmp_path, "")
    assert folder.class_names == ("ant", "bee")
    assert [path.name for path in folder.train.files] == ["a.png", "b.JPG", "c.webp"]
    assert folder.train.labels.tolist() == [0, 0, 1]
    assert folder.validation is not None
    assert folder.test is not None
    assert (folder.validation.folder.name, folder.test.folder.name) == ("VALID", "Test")
    assert folder.skipped == {"hidden": 4, "other folders": 1, "other files": 2, ".heic": 1}
    assert skipped_line(folder.skipped) == (
        "data: skipped 1 .heic, 4 hidden, 2 other files, 1 other folders; "
        "`magick mogrify -format jpg *.heic` converts"
    )


def test_a_validation_part_alone_is_the_test_part(tmp_path: Path) -> None:
    write(tmp_path, *(f"{part}/{name}/a.png" for part in ("train", "val") for name in "ab"))
    folder = list_picture_folder(tmp_path, "")
    assert folder.validation is None
    assert folder.test is not None
    assert folder.test.folder.name == "val"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/a/x.png"], r"fewer than two classes .got a,"),
        (
            ["train/a/x.png", "train/b/x.gif"],
            r"b: no pictures in this class folder; skipped 1 .gif",
        ),
        (["train/a/x.png", "Training/a/x.png"], "two folders of one part .got Training and train"),
        (["val/a/x.png", "val/b/x.png"], "a part without a training part .got val"),
        (["a/x.png", "b\x1b[31m/x.png"], r"must be printable text .got 'b.x1b\[31m'"),
        (["a/x.png", "b\n/x.png"], r"must be printable text .got 'b.n'"),
        (
            ["train/rose/x.png", "train/b/x.png", "test/roses/x.png", "test/b/x.png"],
            "rose is missing in this part; did you mean 'roses'",
        ),
    ],
)
def test_refusals(tmp_path: Path, files: list[str], message: str) -> None:
    write(tmp_path, *files)
    with pytest.raises(DataError, match=message):
        list_picture_folder(tmp_path, "")


def test_names_that_are_hard_to_write(tmp_path: Path) -> None:
    names = ["[b]", '"', "'", "back\\slash", "..x..", "Übung", "a b", "*", "%s{0}"]
    write(tmp_path, *(f"{name}/x.png" for name in names))
    raw = os.fsencode(tmp_path) + b"/a b/\xff\xfe.png"  # not UTF-8
    Path(os.fsdecode(raw)).write_bytes((tmp_path / "a b" / "x.png").read_bytes())
    folder = list_picture_folder(tmp_path, "")
    assert set(folder.class_names) == set(names) - {"..x.."}  # hidden
    assert len(folder.train.files) == len(names)
    part = folder.train.pictures()
    assert part.read(len(names) - 1).size == (8, 8)
    assert len(part.identity()) == 64


def test_links(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, "x.png", "y.png")
    root = tmp_path / "root"
    write(root, "train/a/x.png")
    (root / "train" / "b").symlink_to(elsewhere)
    (root / "train" / "a" / "above").symlink_to(root)
    (root / "train" / "a" / "loop.png").symlink_to("loop.png")
    folder = list_picture_folder(root, "")
    assert folder.train.labels.tolist() == [0, 1, 1]
    (root / "train" / "c").symlink_to(root / "train")
    with pytest.raises(DataError, match="c: a class folder is a link to a folder above it"):
        list_picture_folder(root, "")


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(300, 120), (99, 500), (97, 100)], 96), ([(20, 9)], 32), ([(999, 999)], 96)],
)
def test_the_side_that_suits(tmp_path: Path, sizes: list[tuple[int, int]], side: int) -> None:
    """Short sides of 120, 99 and 97 have the median 99, and 96 = 3 x 32."""
    for number, size in enumerate(sizes):
        write(tmp_path, f"a/{number}.png", f"b/{number}.png", size=size)
    assert list_picture_folder(tmp_path, "").picture_side() == side
