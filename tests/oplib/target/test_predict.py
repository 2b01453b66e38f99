"""The prediction for one picture, computed three ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcuformer.device import Device
from oplib.network.reference import run_float, run_integer
from oplib.target import host, tools
from oplib.target.predict import predict


def test_without_a_compiler_two_are_left(
    small_network,
    write: Callable[..., Path],
    stm32f100: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_path, images = write(small_network, stm32f100).parent, small_network.images[:1]
    monkeypatch.setattr(host, "TOOLS", ("no-such-compiler",))
    monkeypatch.setattr(tools, "PACKAGES", {"no-such-compiler": "a"})
    found = predict(run_path, small_network.integer, small_network.floating, images[0])
    assert found.missing.startswith("host C not verified: no-such-compiler not found")
    assert found.logits["host C"] is None
    assert np.array_equal(found.logits["int8"], run_integer(small_network.integer, images)[0])
    assert np.array_equal(found.logits["float"], run_float(small_network.floating, images)[0])
