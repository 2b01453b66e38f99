"""Which shipped space is sized for which board, and the space that a command takes by default.

A space is sized for a board if 20 to 80 % of its subnets are refused there: memory then limits the
search, and leaves it a choice. ``python tools/refused_shares.py`` measures the shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mcuformer.device import Device, MemoryModel
from mcuformer.errors import ConfigError
from mcuformer.run.presets import conf_dir, read_preset
from mcuformer.run.user_file import read_user_yaml

MIB = 1024 * 1024
LARGER: dict[str, tuple[str, int]] = {  # by data set: a larger space, and its least flash in bytes
    "digits": ("digits_1m", MIB),
    "npz": ("digits_1m", MIB),
    "mnist": ("fashion_mnist_1m", MIB),
    "fashion_mnist": ("fashion_mnist_1m", MIB),
    "cifar10": ("cifar10_1m", MIB),
    "image_folder": ("image_folder_8m", 8 * MIB),
    "timm": ("image_folder_8m", 8 * MIB),
}


class Offer(NamedTuple):
    """A space, and the boards that it is sized for.

    Args:
        space: name of the space.
        devices: names of the boards.
        sizes: values that the data tell of the space; None if the space has its own.
        memory_model: how their SRAM is counted, see :class:`mcuformer.device.BudgetConfig`.
    """

    space: str
    devices: tuple[str, ...]
    sizes: Mapping[str, Any] | None
    memory_model: MemoryModel = "flash"


def _images(size: int) -> dict[str, Any]:
    return {"img_size": size, "num_classes": 10}


_PHOTOGRAPHS = {**_images(96), "patch_size": [12]}
_ONE_TO_TWO_MIB = ("stm32f405", "stm32f427", "stm32f746", "stm32h743")
OFFERS = (
    Offer("digits", ("stm32f100",), _images(8)),
    Offer("digits_1m", _ONE_TO_TWO_MIB, _images(8)),
    Offer("fashion_mnist", ("stm32f100",), _images(28)),
    Offer("fashion_mnist_1m", _ONE_TO_TWO_MIB, _images(28)),
    Offer("cifar10", ("stm32f100",), _images(32)),
    Offer("cifar10_1m", _ONE_TO_TWO_MIB, _images(32)),
    Offer("image_folder", _ONE_TO_TWO_MIB, _PHOTOGRAPHS),
    Offer("image_folder_8m", ("stm32f746_qspi",), _PHOTOGRAPHS),
    Offer("s", ("stm32f746_qspi",), None),
)


def default_space(data: str, device: str, files: Mapping[str, Path]) -> str:
    """Return the name of the space that a command takes unless it names one.

    Args:
        data: name of the data set's preset; a user's own has no space.
        device: name of the device's preset, or an option of `files`.
        files: files of the user's own devices, by option.
    """
    larger = LARGER.get(data)
    if larger is None:
        return data
    space, least_bytes = larger
    return space if _flash_bytes(device, files) >= least_bytes else data


def _flash_bytes(device: str, files: Mapping[str, Path]) -> int:
    """Return a device's flash in bytes; 0 of one that is not valid, which is refused elsewhere."""
    path = conf_dir() / "device" / f"{device}.yaml"
    try:
        if device in files:
            return Device.parse(read_user_yaml(files[device])).flash_bytes
        return Device.parse(read_preset(path, "device")).flash_bytes if path.is_file() else 0
    except ConfigError:
        return 0
