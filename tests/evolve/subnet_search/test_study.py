"""A search continues from its study: it evaluates nothing again and takes nothing foreign."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from commands import SERVER

from evolve.subnet_search.aging import AgingConfig
from evolve.subnet_search.candidate import Candidate, Pruned
from evolve.subnet_search.evolution import EvolutionConfig
from evolve.subnet_search.nsga2 import Nsga2Config
from evolve.subnet_search.problem import Problem
from evolve.subnet_search.random_subnets import RandomConfig
from evolve.subnet_search.storage import open_storage
from evolve.subnet_search.strategy import Strategy
from evolve.subnet_search.study import Study
from evolve.subnet_search.task import Search, Task
from evolve.subnet_search.tinynas import TinynasConfig
from evolve.subnet_search.trials import LEASE_SECONDS
from mcuformer.device import Budget, BudgetConfig, Device
from mcuformer.errors import ArtifactError
from mcuformer.space import SearchSpace
from tests.evolve.subnet_search.conftest import CONDITIONS, MadeUp, candidate

CONFIG = EvolutionConfig(population=12, generations=6, parents=4, mutants=6, crossovers=4)


def search(
    problem: Problem, journal: str, made_up: MadeUp, seed: int = 3, **options: bool
) -> list[Candidate]:
    """Search with a study; return the candidates."""
    study = Study(journal, {"seed": seed}, Search(CONFIG, problem, seed), CONDITIONS, **options)
    study.work(made_up)
    return study.candidates()


def test_an_interrupted_search_repeats_nothing_and_ends_alike(
    problem: Problem, tmp_path: Path
) -> None:
    whole = MadeUp()
    expected = search(problem, str(tmp_path / "whole" / "journal.log"), whole)
    assert len(set(whole.keys)) == len(whole.keys) == 72
    path, keys = tmp_path / "parts" / "journal.log", []
    for interrupted_at in (5, 0, 9):
        part = MadeUp(interrupted_at)
        with pytest.raises(KeyboardInterrupt):
            search(problem, str(path), part)
        keys += part.keys
        with path.open("ab") as file:
            file.write(b'{"op_code":4,"torn')  # as a process leaves it that dies while it writes
    last = MadeUp()
    assert search(problem, str(path), last) == expected
    assert keys + last.keys == whole.keys
    again = MadeUp()
    assert search(problem, str(path), again) == expected
    assert again.keys == []
    anew = MadeUp()
    search(problem, str(path), anew, anew=True)
    assert anew.keys == whole.keys
    other = MadeUp()
    search(problem, str(path), other, seed=4)
    assert len(other.keys) == 72  # another identity takes nothing


def test_another_search_of_the_same_study_takes_what_is_known(
    problem: Problem, journal: str
) -> None:
    search(problem, journal, MadeUp())
    made_up = MadeUp()
    longer = CONFIG.model_copy(update={"generations": 7})
    study = Study(journal, {"seed": 3}, Search(longer, problem, 3), CONDITIONS)
    study.work(made_up)
    assert len(study.candidates()) == 84
    assert len(made_up.keys) == 12  # the first 72 are those of the shorter search


def slow(task: Task) -> Candidate:
    time.sleep(0.02)
    return candidate(task.proposal)


def work(strategy: Strategy, device: Device, space: SearchSpace, location: str) -> None:
    """Work on a study in a process of its own."""
    limit = Budget.of(BudgetConfig(), device)
    problem = Problem(space, space.points()[:1], lambda s: s.depth <= 2, limit)
    Study(location, {}, Search(strategy, problem, 0), CONDITIONS).work(slow)


@pytest.mark.parametrize(
    "strategy",
    [
        CONFIG,
        RandomConfig(samples=60),
        Nsga2Config(population=12),
        TinynasConfig(samples=20, evolution=CONFIG),
    ],
    ids=["evolution", "random", "nsga2", "tinynas"],
)
def test_killed_workers_and_their_number_change_nothing(
    strategy: Strategy,
    problem: Problem,
    stm32f100: Device,
    digits_space: SearchSpace,
    tmp_path: Path,
) -> None:
    """Three workers, one killed early, find in any order what one finds alone."""
    alone = Study(str(tmp_path / "alone.log"), {}, Search(strategy, problem, 0), CONDITIONS)
    alone.work(MadeUp())
    location = str(tmp_path / "shared.log")
    study = Study(location, {}, Search(strategy, problem, 0), CONDITIONS)
    arguments = (strategy, stm32f100, digits_space, location)
    workers = [SERVER.Process(target=work, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    while len(study.candidates()) < 5:
        time.sleep(0.01)
    os.kill(workers[0].pid, signal.SIGKILL)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [-signal.SIGKILL, 0, 0]
    by_key = {c.key: c for c in study.candidates()}
    assert by_key == {c.key: c for c in alone.candidates()}
    assert len(study.candidates()) == len(by_key) == strategy.evaluations


def test_workers_share_a_strategy_of_single_proposals(
    problem: Problem, stm32f100: Device, digits_space: SearchSpace, tmp_path: Path
) -> None:
    """They evaluate as many different subnets as were asked for; the order is what happened."""
    strategy, location = (
        AgingConfig(population=10, sample=4, rounds=40),
        str(tmp_path / "shared.log"),
    )
    arguments = (strategy, stm32f100, digits_space, location)
    workers = [SERVER.Process(target=work, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    found = Study(location, {}, Search(strategy, problem, 0), CONDITIONS).candidates()
    assert len({candidate.key for candidate in found}) == len(found) == 40


def test_a_worker_elsewhere_is_dead_without_signs_of_life(
    problem: Problem, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that was copied from another computer in the middle of an evaluation."""
    one = Search(RandomConfig(samples=1), problem, 0)
    study = Study(journal, {}, one, CONDITIONS)
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    Study(journal, {}, one, CONDITIONS)._queue.begin()
    monkeypatch.undo()
    reader = study._reader
    assert len(reader.progress(one.key).running) == 1
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LEASE_SECONDS)
    assert not reader.progress(one.key).running
    study.work(MadeUp())
    assert len(study.candidates()) == 1


def test_what_is_found_too_late_is_dropped(problem: Problem, journal: str) -> None:
    one = Search(RandomConfig(samples=1), problem, 0)
    study, other = (Study(journal, {}, one, CONDITIONS) for _ in range(2))

    def late(task: Task) -> Candidate:
        study._reader._give_up(study._study.trials[0])
        other.work(MadeUp())
        return replace(candidate(task.proposal), accuracy_percent=1.0)

    study.work(late)
    assert study.candidates() == other.candidates()
    assert study.candidates()[0].accuracy_percent > 1.0


def test_a_database_is_a_study_too(problem: Problem, tmp_path: Path) -> None:
    location = f"sqlite:///{tmp_path}/study.db"
    few = Search(RandomConfig(samples=4), problem, 0)
    made_up = MadeUp(interrupted_at=2)
    with pytest.raises(KeyboardInterrupt):
        Study(location, {}, few, CONDITIONS).work(made_up)
    again = MadeUp()
    study = Study(location, {}, few, CONDITIONS)
    study.work(again)
    assert [c.key for c in study.candidates()] == made_up.keys + again.keys
    assert len(study.candidates()) == 4


def test_what_pruning_left_is_recorded(problem: Problem, journal: str) -> None:
    one = Search(RandomConfig(samples=1), problem, 0)

    def pruned(task: Task) -> Candidate:
        subnet = task.proposal.subnet
        left = subnet.model_copy(update={"blocks": subnet.blocks[:1]})
        return replace(candidate(task.proposal), pruned=Pruned(left, 7), fits=False)

    study = Study(journal, {}, one, CONDITIONS)
    study.work(pruned)
    [found] = Study(journal, {}, one, CONDITIONS).candidates()
    assert (found.pruned.nonzero_params, found.fits) == (7, False)
    assert found.deployed.blocks == found.subnet.blocks[:1]
    assert found.value("macs") == found.deployed.macs


def test_optuna_reads_the_journal(problem: Problem, journal: str) -> None:
    """A dashboard sees trials with values by name, genes and sizes."""
    two = replace(problem, objectives=("accuracy_percent", "flash_bytes"))
    found = search(two, journal, MadeUp())
    backend = optuna.storages.journal.JournalFileBackend(journal)
    storage = optuna.storages.JournalStorage(backend)
    [name] = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    assert study.metric_names == ["accuracy_percent", "flash_bytes"]
    last, trial = found[-1], study.trials[-1]
    assert trial.values == [last.accuracy_percent, last.flash_bytes]
    assert trial.params["embed_dim"] == last.subnet.embed_dim
    assert trial.params["blocks.0.num_heads"] == last.subnet.blocks[0].num_heads
    assert trial.user_attrs["metrics"]["sram_bytes"] == last.sram_bytes
    front = {(t.values[0], t.values[1]) for t in study.best_trials}
    values = [(c.accuracy_percent, c.flash_bytes) for c in found]
    beaten = {
        (a, f) for a, f in values for b, g in values if b >= a and g <= f and (b, g) != (a, f)
    }
    assert front == set(values) - beaten


@pytest.mark.parametrize(
    "damaged",
    [
        lambda lines: [lines[0][:40], *lines[1:]],
        lambda lines: [*lines[:-1], lines[-1][:-9]],
        lambda lines: [lines[0], "[]", *lines[1:]],
        lambda lines: [line.replace("sram_bytes", "other") for line in lines],
        lambda lines: [line.replace('"embed_dim":', '"x":') for line in lines],
        lambda lines: [line.replace('"op_code":4', '"op_code":77') for line in lines],
    ],
)
def test_a_damaged_journal_is_one_line(damaged, problem: Problem, journal: str) -> None:
    search(problem, journal, MadeUp())
    path = Path(journal)
    lines = damaged(path.read_text().splitlines())
    path.write_text("".join(f"{line}\n" for line in lines))
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match=r"journal\.log: damaged: .*remove it") as caught:
        search(problem, journal, MadeUp())
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_named_study_of_another_space_is_refused(problem: Problem, journal: str) -> None:
    search(problem, journal, MadeUp(), shared=True)
    search(problem, journal, MadeUp(), seed=4, shared=True)  # another evaluation is welcome
    space = problem.space.model_copy(update={"depth": (2,)})
    with pytest.raises(ArtifactError, match=r"journal\.log: holds a study of another space"):
        search(replace(problem, space=space), journal, MadeUp(), shared=True)


def test_a_study_that_another_worker_creates_this_moment_is_no_fault(
    problem: Problem, journal: str
) -> None:
    """A worker creates its study first and says then of which space it is."""
    search(problem, journal, MadeUp(), shared=True)
    other = Path(journal).with_name("other.log")
    created = Path(journal).read_text().splitlines()[0]
    assert '"study_name"' in created
    other.write_text(created + "\n")
    found = search(problem, str(other), MadeUp(), shared=True)
    assert found == search(problem, journal, MadeUp(), shared=True)
    attributes = optuna.load_study(study_name=None, storage=open_storage(str(other))).user_attrs
    assert attributes["conditions"] == CONDITIONS
    assert "space" in attributes


def test_a_full_disk_is_one_line(
    problem: Problem, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(journal, {}, Search(CONFIG, problem, 0), CONDITIONS)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"journal\.log: cannot be written: No space left") as e:
        study.work(MadeUp())
    assert "\n" not in str(e.value)
