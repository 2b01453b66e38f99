"""The tables of code sizes name every kernel, on every core."""

from __future__ import annotations

from typing import get_args

import pytest

from mcuformer.device import Core
from oplib.codegen.runtime import RUNTIME
from oplib.plan.code_size import KERNEL_BYTES, PORT_BYTES


@pytest.mark.parametrize("core", get_args(Core))
def test_code_sizes_are_complete(core: Core) -> None:
    assert set(KERNEL_BYTES[core]) == {f"oplib_{path.stem}" for path in RUNTIME.glob("src/*.c")}
    assert core in PORT_BYTES
