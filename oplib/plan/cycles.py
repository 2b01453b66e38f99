"""Cycles of each core for each kind of work (:data:`oplib.ops.work.UNITS`).

They divide the cycles of small networks, by the published pipeline rules, among their kinds of
work. It is a model; no chip was timed.
"""

from __future__ import annotations

from mcuformer.device import Core

CYCLES: dict[Core, tuple[float, ...]] = {
    "cortex-m0plus": (7.03, 26.6, 122.0, 12.7, 41.0, 219.0, 142.0, 32.1, 13.6),
    "cortex-m3": (3.55, 3.75, 39.4, 5.8, 22.4, 48.0, 53.2, 25.4, 9.86),
    "cortex-m4": (1.16, 2.05, 15.6, 2.5, 29.8, 20.2, 25.7, 12.9, 2.77),
    "cortex-m7": (0.814, 1.26, 8.72, 1.32, 12.8, 12.9, 11.8, 9.37, 2.07),
}
