"""The number of CPU threads that a run computes with."""

from __future__ import annotations

import os

from mcuformer.limits import PositiveInt
from mcuformer.run.artifact import THREADS, RunDir, read_value, write_json
from mcuformer.run.progress import process_count, say
from mcuformer.value import Value

MOST_THREADS = 4  # the networks are small; more threads were not measured
MEASURED_SECONDS = 0.3
NOISE = 0.25  # share of a CPU that a machine at rest may be busy with


class RunThreads(Value):
    """The content of ``threads.json``: the number of threads that the run's last stage used."""

    threads: PositiveInt


def run_threads(run: RunDir, given: int | None) -> int:
    """Return the number of threads that a stage computes with, and remember it.

    Floating-point sums depend on it, so it must not change with the load of the machine: it is the
    number given or, in this order, that of the run's last stage, or what is idle now. A process of
    torchrun's takes what torchrun allows, so that all take the same.

    Args:
        run: run directory, which keeps the number.
        given: number that the user asks for, or None.

    Raises:
        ArtifactError: ``threads.json`` is damaged.
        ConfigError: it holds no positive number.
    """
    if process_count() > 1:
        return given or limit()
    path = run.file(THREADS)
    before = read_value(path, "threads", RunThreads).threads if path.exists() else None
    if given is not None:
        threads = given
    elif before is not None and before <= len(usable_cpus()):
        threads = before
    else:
        threads = idle_threads()
        say(f"threads: {threads}, the number of idle CPUs up to {limit()}; threads=N changes it")
    if threads != before:
        write_json(path, "threads", RunThreads(threads=threads).dump())
    return threads


def idle_threads() -> int:
    """Return how many of the usable CPUs are idle, from 1 to :func:`limit`.

    A thread that waits for a busy CPU makes all others wait: two threads beside one busy process
    on two CPUs train many times slower than one (DESIGN.md).
    """
    if limit() == 1:
        return 1
    import psutil

    busy = psutil.cpu_percent(MEASURED_SECONDS, percpu=True)
    idle = sum(1 - percent / 100 for cpu, percent in enumerate(busy) if cpu in usable_cpus())
    return min(limit(), max(1, int(idle + NOISE)))


def limit() -> int:
    """Return the largest number of threads that is chosen without being asked for."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    allowed = int(asked) if asked.isdigit() and int(asked) > 0 else MOST_THREADS
    return min(MOST_THREADS, len(usable_cpus()), allowed)


def usable_cpus() -> set[int]:
    """Return the numbers of the CPUs that this process may run on."""
    return os.sched_getaffinity(0)
