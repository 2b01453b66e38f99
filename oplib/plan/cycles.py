"""Cycles of each core for each kind of work (:data:`oplib.ops.work.UNITS`).

They divide the cycles of small networks, by the published pipeline rules, among their kinds of
work (``python tools/fit_cycles.py``). It is a model; no chip was timed.
"""

from __future__ import annotations

from mcuformer.device import Core

CYCLES: dict[Core, tuple[float, ...]] = {
    "cortex-m0plus": (7.96, 26.7, 114, 14.7, 46.4, 221, 149, 27.3, 14.2),
    "cortex-m3": (3.2, 3.91, 34.5, 5.17, 23, 49.4, 55.4, 19.4, 9.2),
    "cortex-m4": (1.1, 2.14, 15.4, 1.74, 23.1, 22.5, 23.8, 10.6, 2.38),
    "cortex-m7": (0.595, 1.27, 9.18, 0.863, 12.7, 14.3, 11.5, 5.64, 1.57),
}
