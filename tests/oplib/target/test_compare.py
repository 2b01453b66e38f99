"""The three results of a comparison: equal, different, not verified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcuformer.cost import Footprint
from mcuformer.device import Device
from oplib.target import host, qemu, tools
from oplib.target.board import LinkedSizes
from oplib.target.compare import Comparison, code_estimate_is_off, compare
from oplib.target.qemu import EmulatedRun


def test_one_logit_is_enough() -> None:
    reference = np.array([[1, 2], [3, 4]], np.int32)
    other = reference.copy()
    other[1, 0] += 1
    emulated = EmulatedRun(other, np.ones(2), 100)
    found = Comparison(reference, reference.copy(), emulated, ())
    assert found.bit_exact == {"host": True, "emulated": False}
    assert Comparison(reference, None, None, ("no cc",)).bit_exact == {
        "host": None,
        "emulated": None,
    }


def test_missing_tools_are_told(
    small_network,
    write: Callable[..., Path],
    stm32f100: Device,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    firmware = write(small_network, stm32f100)
    monkeypatch.setattr(host, "TOOLS", ("no-such-compiler",))
    monkeypatch.setattr(qemu, "TOOLS", ("no-such-emulator",))
    packages = {"no-such-compiler": "a", "no-such-emulator": "b"}
    monkeypatch.setattr(tools, "PACKAGES", packages)
    found = compare(small_network.integer, firmware, tmp_path, stm32f100, small_network.images[:1])
    assert (found.host, found.emulated) == (None, None)
    assert [line.partition(" not verified: ")[0] for line in found.missing] == [
        "host C",
        "emulated chip",
    ]
    assert "no-such-emulator not found; install with `apt-get install b`" in found.missing[1]


def test_code_beside_its_estimate() -> None:
    """A tenth of 20,000 bytes is no news; a byte more is."""
    planned = Footprint(
        arena_bytes=0,
        fast_bytes=0,
        static_bytes=0,
        stack_bytes=0,
        weights_bytes=10,
        code_bytes=20_000,
    )

    def told(code: int) -> str | None:
        return code_estimate_is_off(LinkedSizes(0, 0, 10, 0, 10 + code, {}), planned)

    assert told(18_000) is told(20_000) is told(22_000) is None
    assert str(told(22_001)).startswith("code takes 22,001 bytes and was estimated at 20,000")
    assert told(17_999) is not None
