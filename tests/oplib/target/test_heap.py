"""Every buffer in a heap block of its exact size, under the address sanitizer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.subnet import SubnetConfig
from oplib.codegen.component import Component
from oplib.forms import Forms
from oplib.network.reference import run_integer
from oplib.plan.schedule import Schedule
from oplib.target import host
from oplib.target.heap import use_heap

CONVOLUTIONS = {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 6}
RUN = (
    "import sys, numpy as np; from pathlib import Path; from oplib.target import host;"
    "images = np.load(sys.argv[1]); found = [host.run_images(Path(library), images, 10)"
    " for library in sys.argv[3:]]; np.save(sys.argv[2], found)"
)


@pytest.mark.usefixtures("host_tools")
@pytest.mark.parametrize(
    ("change", "forms"),
    [
        ({}, {}),
        ({}, {"passes": {"stream_tokens": False}}),
        ({}, {"passes": {"input": "strip"}}),
        ({}, {"residual": "int16", "low_rank": "int16", "gelu": "sigmoid"}),
        (CONVOLUTIONS, {}),
        (CONVOLUTIONS, {"passes": {"input": "strip"}}),
    ],
)
def test_sanitizers_are_silent(
    random_network,
    write: Callable[..., Path],
    *,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f100: Device,
    with_panels: Callable[[Schedule, int], Schedule],
    change: dict[str, Any],
    forms: dict[str, Any],
    tmp_path: Path,
) -> None:
    """The planner's panels and random ones, twice; the sanitizer must be loaded before Python.

    It guards the weights' end where the compiler lays them out, hence their text.
    """
    subnet = SubnetConfig.parse(small_subnet.dump() | change)
    network = random_network(subnet, preprocessing, 0, Forms.parse(forms))
    planned, names = network.scheduled, [str(number) for number in range(10)]
    libraries = []
    for name, scheduled in (
        ("planned", planned),
        ("random_0", with_panels(planned, 0)),
        ("random_1", with_panels(planned, 1)),
    ):
        one = replace(network, scheduled=scheduled)
        place = write(one, stm32f100, name, weights="text")
        use_heap(place, Component(one.integer, scheduled, stm32f100, names))
        libraries.append(host.build(place, place / "asan", sanitize="address,undefined"))
    images, logits = tmp_path / "images.npy", tmp_path / "logits.npy"
    np.save(images, network.images)
    runtime = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    arguments = [images, logits, *libraries]
    environment = {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", RUN, *arguments], check=True, env=environment)
    expected = run_integer(network.integer, network.images)
    assert np.array_equal(np.load(logits), [expected] * 3)
