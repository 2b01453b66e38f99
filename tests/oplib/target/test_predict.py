"""The prediction for one picture, computed three ways."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS
from oplib.network.model_file import SavedModel
from oplib.network.reference import run_float, run_integer
from oplib.target import host, tools
from oplib.target.predict import ExportedNetwork, image_brightness, predict, softmax
from oplib.target.target import Target

NAMES = tuple(str(number) for number in range(10))


def test_without_a_compiler_two_are_left(
    small_network, small_subnet: SubnetConfig, stm32f100: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = SavedModel(small_network.integer, small_subnet, DEFAULT_FORMS, NAMES)
    exported = ExportedNetwork(Target(stm32f100), saved, small_network.floating, (0.5, 0.1))
    images = small_network.images[:1]
    monkeypatch.setattr(host, "TOOLS", ("no-such-compiler",))
    monkeypatch.setattr(tools, "PACKAGES", {"no-such-compiler": "a"})
    found = predict(exported, images[0])
    assert found.missing is not None
    assert found.missing.startswith("host C not verified: no-such-compiler not found")
    assert found.logits["host C"] is None
    floating, integer = found.logits["float"], found.logits["int8"]
    assert floating is not None
    assert integer is not None
    assert np.array_equal(floating, run_float(small_network.floating, images)[0])
    reference = run_integer(small_network.integer, images)[0]
    assert integer / integer[0] == pytest.approx(reference / reference[0])
    assert np.corrcoef(integer, floating)[0, 1] > 0.99
    assert np.abs(integer - floating).max() < 0.2 * np.abs(floating).max()


def test_probabilities_add_up_to_one() -> None:
    assert softmax(np.array([1000.0, 1000.0])) == pytest.approx([0.5, 0.5])
    assert softmax(np.log(np.array([1.0, 3.0]))) == pytest.approx([0.25, 0.75])


def test_brightness_is_that_of_whole_images(preprocessing: Preprocessing) -> None:
    black, white = np.zeros((2, 8, 8, 1), np.uint8), np.full((2, 8, 8, 1), 16, np.uint8)
    assert image_brightness(np.concatenate([black, white]), preprocessing) == (0.5, 0.5)
