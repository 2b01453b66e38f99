"""Cycles of each core for each kind of work (:data:`oplib.ops.work.UNITS`).

They divide the cycles of small networks, by the published pipeline rules, among their kinds of
work (``python tools/fit_cycles.py``). It is a model; no chip was timed.
"""

from __future__ import annotations

from mcuformer.device import Core

CYCLES: dict[Core, tuple[float, ...]] = {
    "cortex-m0plus": (7.96, 26.6, 118.0, 13.7, 43.8, 212.0, 148.0, 29.5, 13.9),
    "cortex-m3": (3.2, 3.86, 38.1, 5.85, 24.3, 42.5, 55.5, 22.1, 9.53),
    "cortex-m4": (1.1, 2.1, 17.4, 2.22, 32.6, 18.9, 24.4, 10.9, 2.64),
    "cortex-m7": (0.593, 1.26, 10.4, 0.996, 13.7, 11.6, 12.2, 5.74, 1.76),
}
