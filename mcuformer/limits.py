"""Bounds of the numbers in a configuration, far above what fits a microcontroller.

They keep a slip of the keyboard from costing minutes or gigabytes before anything is said. What
fits a device is the planner's to say.
"""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AfterValidator, Field

ADDRESS_END = 2**32
MAX_SEED = 2**63 - 1  # torch keeps a seed in 64 bits
MAX_CHOICES = 32  # of one gene
MAX_POINTS = 256
MAX_CLASSES = 100_000
MAX_DEPTH = 64
MAX_TOKENS = 2048
MAX_TOKEN_HEADS = 16_384  # tokens times heads: the planner takes about 0.1 ms for each
MAX_PLANNED = 100_000  # the same, summed over the smallest subnets of all points
MAX_PARAMS = 10**9
MAX_EPOCHS = 100_000
MAX_CANDIDATES = 10_000
MAX_PATH_BYTES, MAX_NAME_BYTES = 4095, 255  # of Linux

PositiveInt = Annotated[int, Field(gt=0)]
ByteCount = Annotated[int, Field(ge=0)]
PositiveBytes = Annotated[int, Field(gt=0, le=ADDRESS_END)]
CacheBytes = Annotated[int, Field(ge=0, le=2**24)]
LineBytes = Annotated[int, Field(gt=0, le=4096)]  # of a memory: bytes that arrive together
WaitCycles = Annotated[float, Field(ge=0.0, le=1e6)]  # of a core, for one line
CpiScale = Annotated[float, Field(ge=0.1, le=10.0)]  # of a core's cycles per instruction
Milliseconds = Annotated[float, Field(gt=0.0, le=1e9)]
Macs = Annotated[int, Field(gt=0, le=10**15)]
Hertz = Annotated[int, Field(gt=0, le=10**10)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Rounds = Annotated[int, Field(ge=1, le=100)]  # of the whole search
Workers = Annotated[int, Field(ge=1, le=256)]  # processes of one computer
Threads = Annotated[int, Field(ge=1, le=1024)]

ImgSize = Annotated[int, Field(gt=0, le=2048)]
PatchSize = Annotated[int, Field(gt=0, le=256)]
InChans = Annotated[int, Field(gt=0, le=64)]
NumClasses = Annotated[int, Field(gt=0, le=MAX_CLASSES)]
Width = Annotated[int, Field(gt=0, le=4096)]  # of tokens, heads, attention and stems
Depth = Annotated[int, Field(gt=0, le=MAX_DEPTH)]
NumHeads = Annotated[int, Field(gt=0, le=64)]
MlpRatio = Annotated[float, Field(ge=2**-12, le=64.0)]  # from one unit at the largest width
RankRatio = Annotated[float, Field(gt=0.0, le=1.0)]
Rank = Annotated[int, Field(gt=0, le=4096)]
Distance = Annotated[int, Field(gt=0, le=1024)]  # of a relative position, in tokens
NormEps = Annotated[float, Field(ge=1e-12, le=1.0)]

Epochs = Annotated[int, Field(gt=0, le=MAX_EPOCHS)]
EpochsOrNone = Annotated[int, Field(ge=0, le=MAX_EPOCHS)]  # 0 is none
BatchSize = Annotated[int, Field(gt=0, le=65_536)]
Steps = Annotated[int, Field(gt=0, le=10**9)]
Rate = Annotated[float, Field(gt=0.0, le=100.0)]
TestImageCount = Annotated[int, Field(ge=0, le=100)]
ImageCount = Annotated[int, Field(ge=1, le=10**6)]
Candidates = Annotated[
    int, Field(gt=0, le=MAX_CANDIDATES)
]  # subnets that are drawn or bred at once


Probability = Annotated[float, Field(ge=0.0, le=1.0)]


def _checked_path(text: str) -> str:
    """Return a path with ``~`` expanded.

    Raises:
        ValueError: no file can have this path.
    """
    if not text.isprintable():
        raise ValueError("a path with a control character")
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise ValueError("no home directory of this name")
    encoded = path.encode(errors="surrogateescape")
    if len(encoded) > MAX_PATH_BYTES or max(map(len, encoded.split(b"/"))) > MAX_NAME_BYTES:
        raise ValueError(
            f"a path of more than {MAX_PATH_BYTES} bytes, or with a name of more than "
            f"{MAX_NAME_BYTES}"
        )
    return path


NameText = Annotated[str, Field(pattern=r"^\w[\w .+-]*$", max_length=64)]
"""Name that may become that of a folder."""

PathText = Annotated[str, Field(min_length=1), AfterValidator(_checked_path)]
"""Path of a file or folder; ``~`` is the home directory."""
