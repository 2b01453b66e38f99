"""Small trained networks that come with the package, ``zoo/NAME``; commands say ``zoo:NAME``.

An entry holds a network twice: its float weights, from which trainings start, and its integers,
from which firmware is made. The manifest tells what it is for, how it was made and how accurate
it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mcuformer.cost import Footprint
from mcuformer.data.images import Images, Labels
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import ArtifactError, ConfigError, did_you_mean
from mcuformer.limits import NameText
from mcuformer.run.artifact import file_digest, load_arrays, parsing, read_value
from mcuformer.run.presets import shipped_folder
from mcuformer.subnet import SubnetConfig
from mcuformer.value import Value

PREFIX = "zoo:"
KIND = "zoo"
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
INTEGERS = ("model_int8.json", "model_int8.safetensors")
LAYERS = "layers.json"
TEST_IMAGES = "test_images.safetensors"  # arrays `images` (T, H, W, C) and `labels` (T,)
FILES = (WEIGHTS, *INTEGERS, LAYERS, TEST_IMAGES)
MAX_IMAGE_BYTES = 65536  # of an entry's test images
MAX_ZOO_BYTES = 4_000_000  # of all entries together
Percent = Annotated[float, Field(ge=0.0, le=100.0)]


class ZooData(Value):
    """The data set that an entry was trained and measured on.

    Args:
        name: name of the set.
        terms: licence and origin of the pictures.
        test_part: whether the set, or the folder, has a test part, or the images were held out of
            its training part.
        test_images: number of test images that the accuracies were measured on.
    """

    name: NameText
    terms: Annotated[str, Field(min_length=1)]
    test_part: Literal["the set's test part", "own split"]
    test_images: Annotated[int, Field(ge=1)]


class ZooManifest(Value):
    """What an entry is, and how it was made: ``manifest.json``.

    Args:
        command: command that made the network.
        experiment: experiment of that command; null if it was none.
        data: data set.
        class_names: name of each class.
        preprocessing: how pictures become the network's raw pixels.
        subnet: the network's shape.
        accuracy_percent: top-1 accuracy on all test images: ``float`` with the float weights of
            the entry, ``int8`` of the integer reference.
        calibration_images: number of images that set the scales of the integers.
        brightness: mean, and standard deviation over images, of the calibration images' mean
            pixel, from 0 (black) to 1 (white).
        device: device that the network was made for.
        budget: what it was allowed to take of it.
        footprint: memory of its firmware there, as planned.
        machine: CPU of the training, and its number of cores.
        git_revision: revision of the checkout that exported the network.
        versions: versions of Python and of the main packages.
        files: SHA-256 of each file of the entry, by name.
    """

    command: str
    experiment: str | None
    data: ZooData
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    subnet: SubnetConfig
    accuracy_percent: dict[Literal["float", "int8"], Percent]
    calibration_images: Annotated[int, Field(ge=0)]
    brightness: tuple[float, float]
    device: Device
    budget: BudgetConfig
    footprint: Footprint
    machine: str
    git_revision: str
    versions: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True)
class ZooEntry:
    """An entry of the zoo.

    Args:
        name: its name, without the prefix.
        folder: its folder.
    """

    name: str
    folder: Path

    @classmethod
    def named(cls, text: str) -> ZooEntry:
        """Return the entry that ``zoo:NAME`` names, whole.

        Raises:
            ConfigError: there is none of this name.
            ArtifactError: a file of it is missing, or is not as the manifest has it.
        """
        known = {entry.name: entry for entry in entries()}
        name = text.removeprefix(PREFIX)
        if name not in known:
            raise ConfigError(
                f"no such network in the zoo{did_you_mean(name, known)}",
                got=repr(text),
                expected=f"zoo:NAME, NAME one of {', '.join(known) or 'none'}",
            )
        known[name].refuse_damaged()
        return known[name]

    @cached_property
    def manifest(self) -> ZooManifest:
        """What the entry is, and how it was made."""
        return read_value(self.file(MANIFEST), KIND, ZooManifest)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files of the entry."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def file(self, name: str) -> Path:
        """Return the path of one of the entry's files."""
        return self.folder / name

    def refuse_damaged(self) -> None:
        """Refuse files that are missing, or not as the manifest has them.

        Raises:
            ArtifactError: naming the first such file.
        """
        digests = self.manifest.files
        for name in (*FILES, *digests):
            if name not in digests or file_digest(self.file(name)) != digests[name]:
                raise ArtifactError(
                    "not as its manifest has it; reinstall mcuformer", where=self.file(name)
                )

    def test_images(self) -> tuple[Images, Labels]:
        """Return a few images of the test part (T, H, W, C), and their labels (T,).

        Raises:
            ArtifactError: they are missing, or not of the network's size.
        """
        path, pre = self.file(TEST_IMAGES), self.manifest.preprocessing
        arrays = load_arrays(path)
        with parsing(path):
            images, labels = arrays["images"], arrays["labels"]
            if images.shape != (len(labels), pre.img_size, pre.img_size, pre.in_chans):
                raise ValueError(f"images of shape {images.shape}")
        return images, labels


def in_zoo(text: str) -> bool:
    """Return whether a text names an entry of the zoo and no file.

    >>> in_zoo("zoo:digits"), in_zoo("runs/demo")
    (True, False)
    """
    return text.startswith(PREFIX)


def entries() -> list[ZooEntry]:
    """Return all entries, by name.

    Raises:
        ConfigError: the installation is incomplete.
    """
    manifests = sorted(shipped_folder("zoo", "README.md").glob(f"*/{MANIFEST}"))
    return [ZooEntry(path.parent.name, path.parent) for path in manifests]


def initial_files(text: str) -> list[Path]:
    """Return the files of an ``initial=``: the weights, and of ``zoo:NAME`` the manifest too.

    Raises:
        ConfigError: the zoo has no entry of this name.
        ArtifactError: the file is missing or holds no weights, or one of the entry is damaged.
    """
    if not in_zoo(text):
        load_arrays(Path(text))  # refuses what holds no weights
        return [Path(text)]
    entry = ZooEntry.named(text)
    return [entry.file(WEIGHTS), entry.file(MANIFEST)]
