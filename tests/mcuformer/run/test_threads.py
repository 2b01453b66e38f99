"""The number of threads: what is idle at first, and the same again in the run."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mcuformer.errors import McuformerError
from mcuformer.run import threads
from mcuformer.run.artifact import RunDir
from mcuformer.run.threads import idle_threads, run_threads


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Return a function that sets the CPUs of this process, and how busy all CPUs are."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def set_to(cpus: set[int], busy: list[float]) -> None:
        monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid: cpus)
        monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: busy)

    return set_to


@pytest.mark.parametrize(
    ("cpus", "busy", "expected"),
    [
        ({0, 1}, [3.0, 4.0], 2),
        ({0, 1}, [100.0, 2.0], 1),
        ({0, 1}, [52.0, 51.0], 1),  # one busy process that changes its CPU
        ({0, 1}, [100.0, 100.0], 1),
        ({2}, [0.0, 0.0, 0.0], 1),
        ({1, 3}, [100.0, 0.0, 100.0, 0.0], 2),  # busy CPUs that this process may not use
        (set(range(16)), [5.0] * 16, 4),
        (set(range(6)), [100.0, 100.0, 100.0, 0.0, 0.0, 0.0], 3),
    ],
)
def test_idle_cpus_are_counted(machine, cpus: set[int], busy: list[float], expected: int) -> None:
    machine(cpus, busy)
    assert idle_threads() == expected


def test_the_environment_limits_what_is_chosen(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine({0, 1, 2, 3}, [0.0] * 4)
    for text, expected in (("1", 1), ("3", 3), ("64", 4), ("nonsense", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert idle_threads() == expected


def test_a_run_keeps_its_number(machine, tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    machine({0, 1, 2}, [0.0, 0.0, 0.0])
    assert run_threads(run, None) == 3
    machine({0, 1, 2}, [100.0, 100.0, 0.0])
    assert run_threads(run, None) == 3  # the load has no effect any more
    assert run_threads(run, 2) == 2
    assert run_threads(run, None) == 2
    machine({0}, [0.0])
    assert run_threads(run, None) == 1  # moved to a smaller machine
    (tmp_path / "threads.json").write_text("{}")
    with pytest.raises(McuformerError, match=r"threads\.json: wrong kind of file"):
        run_threads(run, None)


def test_processes_of_torchrun_agree(
    machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine({0, 1, 2}, [0.0, 100.0, 0.0])
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as torchrun sets it
    assert run_threads(RunDir(tmp_path), None) == 1
    assert run_threads(RunDir(tmp_path), 2) == 2
    assert not list(tmp_path.iterdir())
