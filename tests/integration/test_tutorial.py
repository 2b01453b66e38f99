"""The commands of docs/tutorial.md run, in their order, on a few small pictures."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import commands
import document
import numpy as np
from PIL import Image

PROGRAMS = ("mcuformer", "python", "cmake")
# what a reader waits for is made small; a chain and an export take these settings beside theirs
SMALL_CHAIN = [
    "threads=1",
    "space.patch_size=[8]",
    "space.rank_ratio=[1.0]",
    "space.embed_dim=[32]",
    "space.depth=[1,2]",
    "space.num_heads=[1]",
    "space_search=largest",
    "train.batch_size=4",
    "train.epochs=1",
    "train.warmup_epochs=0",
    "finetune.batch_size=4",
    "finetune.epochs=1",
    "finetune.warmup_epochs=0",
    "evaluator=inherited",
    "strategy=random",
    "strategy.samples=2",
]
SMALL_EXPORT = ["export.calibration_images=4", "export.check_images=1"]


def tutorial(root: Path) -> Iterator[list[str]]:
    """Yield the words of every command of the tutorial."""
    for line in document.code_lines((root / "docs" / "tutorial.md").read_text()):
        words = shlex.split(line)
        if words and words[0] in PROGRAMS:
            yield words


def draw_pictures(place: Path) -> None:
    """Draw what the tutorial assumes: folders of pictures, a picture, and a digit."""
    rng = np.random.default_rng(0)
    for number in range(24):
        part, name = ("train", "test")[number % 3 == 2], ("cat", "dog")[number % 2]
        folder = place / "FOLDER" / part / name
        folder.mkdir(parents=True, exist_ok=True)
        shade = rng.integers(0, 256, (40, 40, 3)) // 2 + 127 * (number % 2)
        Image.fromarray(shade.astype(np.uint8)).save(folder / f"{number}.png")
    Image.fromarray(shade.astype(np.uint8)).save(place / "picture.png")
    Image.fromarray(shade.astype(np.uint8)).convert("L").save(place / "digit.png")


def run(words: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the tutorial as a reader would, in a folder of its own."""
    if words[0] == "cmake":
        return subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    line = ["-m", "mcuformer", *words[1:]] if words[0] == "mcuformer" else words[1:]
    if any(word.startswith("data.root=") for word in line):
        line += SMALL_CHAIN
    if {"run_dir=runs/mine", "export"} & set(line):
        line += SMALL_EXPORT
    return commands.run(line, cwd=place, env=dict(os.environ))


def test_a_reader_can_follow_the_tutorial(root: Path, tmp_path: Path, emulator_tools: None) -> None:
    draw_pictures(tmp_path)
    followed = list(tutorial(root))
    verbs = {words[1] for words in followed if words[0] == "mcuformer"}
    assert {"zoo", "predict", "export", "inspect", "report"} <= verbs
    for words in followed:
        result = run(words, tmp_path)
        assert result.returncode == 0, (shlex.join(words), result.stdout[-800:], result.stderr)
    assert (tmp_path / "runs" / "mine" / "report.html").is_file()
    for name in ("mine", "mine_h743"):
        assert (tmp_path / "runs" / name / "build" / "device.elf").is_file()
