"""Cycles of each core for each kind of work (:data:`oplib.ops.work.UNITS`).

They divide the cycles of small networks, by the published pipeline rules, among their kinds of
work (``python tools/fit_cycles.py``). It is a model; no chip was timed.
"""

from __future__ import annotations

from mcuformer.device import Core

CYCLES: dict[Core, tuple[float, ...]] = {
    "cortex-m0plus": (8.12, 26.6, 113, 20.6, 36, 214, 142, 34.8, 18),
    "cortex-m3": (3.25, 3.87, 32.5, 7.72, 15.8, 46.9, 52.2, 28.7, 13.4),
    "cortex-m4": (1.11, 2.1, 16.3, 3.04, 13, 20, 21.9, 17.5, 3.35),
    "cortex-m7": (0.603, 1.25, 9.43, 1.27, 8.75, 13.1, 10.6, 8.92, 2.27),
}
