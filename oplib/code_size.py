"""Measured code sizes; ``python tools/measure_code_size.py`` prints these tables."""

from __future__ import annotations

from mcuformer.device import Core

STATIC_BYTES = 16
CALL_BYTES = 24
PORT_BYTES: dict[Core, int] = {}
KERNEL_BYTES: dict[Core, dict[str, int]] = {}
