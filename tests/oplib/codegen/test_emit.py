"""A component's files: complete, named after the network, and no more than it uses."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from mcuformer.cost import Cost, Footprint, ModelledTime
from mcuformer.device import Device
from oplib.codegen.component import Component
from oplib.codegen.emit import emit, manifest
from oplib.codegen.selftest_c import BuiltInImages
from oplib.target.ports import network_header

COST = Cost(
    footprint=Footprint(
        arena_bytes=1000,
        fast_bytes=0,
        static_bytes=24,
        stack_bytes=704,
        weights_bytes=23456,
        code_bytes=12345,
    ),
    time=ModelledTime.of(2_000_000, 500_000, 1_000_000),
    macs=1,
)


@pytest.fixture
def component(small_network, stm32f100: Device) -> Component:
    names = [str(number) for number in range(10)]
    tests = BuiltInImages(small_network.images[:3], np.array([7, 0, 9]))
    parts = (small_network.integer, small_network.scheduled, stm32f100, names)
    return Component(*parts, name="digits", tests=tests, cost=COST, facts={"subnet": "a subnet"})


def test_a_component_holds_what_it_uses(component: Component) -> None:
    files = emit(component)
    own = {name for name in files if "/" not in name}
    assert own == {
        "CMakeLists.txt",
        "README.md",
        "digits.c",
        "digits.h",
        "digits_picture.c",
        "digits_test.bin",
        "digits_test.c",
        "digits_weights.bin",
        "digits_weights.c",
        "digits_weights.h",
    }
    kernels = {name for name in files if name.startswith("oplib/src/")}
    assert "oplib/src/attention_block_s8.c" in kernels
    assert "oplib/src/conv_tokens_s8.c" not in kernels
    assert files["digits_test.bin"] == component.tests.images.tobytes()
    text = emit(replace(component, weights="text"))
    assert not [name for name in text if name.endswith(".bin")]


def test_another_name_changes_every_name(component: Component) -> None:
    """And no name of one network is left in another's files."""
    for name, content in emit(replace(component, name="other")).items():
        assert "digits" not in name
        assert b"digits" not in content
        assert b"DIGITS" not in content
        assert b"@name@" not in content.lower()


def test_the_ports_names_are_the_headers(component: Component) -> None:
    """Every name of network.h is declared in the network's header."""
    header = emit(component)["digits.h"].decode()
    names = network_header(component)
    aliases = re.findall(r"^#define (NETWORK|network)_(\w+) (\w+)$", names, re.MULTILINE)
    assert len(aliases) > 40
    only_strips = {"run_on", "restart"}
    for _, name, target in aliases:
        assert name in only_strips or re.search(rf"\b{target}\b", header), target


def test_the_readme_tells_costs_and_calls(component: Component) -> None:
    text = emit(component)["README.md"].decode()
    for words in (
        "| SRAM: arena | 1,000 |",
        "| flash: weights | 23,456 |",
        "2,000.0 to 2,500.0 ms",
        "digits_init(&context, arena, sizeof arena)",
        "a pattern and 3 built-in images",
        "Turn it upright",
    ):
        assert words in text
    assert not re.search(r"@\w+@", text)


def test_the_manifest_tells_what_it_was_told(component: Component) -> None:
    content = manifest(component)
    assert content["name"] == "digits"
    assert content["subnet"] == "a subnet"
    assert content["device"]["name"] == "stm32f100"
    json.dumps(content)
