"""A search continues from its journal: it evaluates nothing again and takes nothing foreign."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import optuna
import pytest

from evolve.subnet_search.evolution import Candidate, EvolutionConfig, evolve
from evolve.subnet_search.population import Variation
from evolve.subnet_search.study import Study
from mcuformer.errors import ArtifactError
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig

CONFIG = EvolutionConfig(population=12, generations=6, parents=4, mutants=6, crossovers=4)
CONDITIONS = {"threads": 1}


class Evaluator:
    """A made-up accuracy that counts its calls and may be interrupted."""

    def __init__(self, interrupted_at: int | None = None) -> None:
        self.keys: list[str] = []
        self.interrupted_at = interrupted_at

    def __call__(self, subnet: SubnetConfig) -> Candidate:
        if len(self.keys) == self.interrupted_at:
            raise KeyboardInterrupt
        self.keys.append(subnet.key)
        return Candidate(
            subnet, subnet.macs / 3e5, subnet.depth, subnet.num_params, subnet.macs / 7
        )


def search(
    space: SearchSpace, path: Path, evaluator: Evaluator, seed: int = 3, **options: bool
) -> list[tuple[int, list[Candidate]]]:
    """Search with a journal; return the generations."""
    study = Study(path, {"seed": seed}, space, CONDITIONS, **options)
    variation = Variation(space, space.points()[0], lambda s: s.depth <= 2, 0.4, 0.4, 0.2)
    rows: list[tuple[int, list[Candidate]]] = []
    evolve(
        CONFIG,
        variation,
        lambda subnet: study.evaluated(subnet, evaluator),
        np.random.default_rng(seed),
        range(CONFIG.generations),
        lambda number, new: rows.append((number, new)),
    )
    return rows


def test_an_interrupted_search_repeats_nothing_and_ends_alike(
    digits_space: SearchSpace, tmp_path: Path
) -> None:
    whole = Evaluator()
    expected = search(digits_space, tmp_path / "whole" / "journal.log", whole)
    path, keys = tmp_path / "parts" / "journal.log", []
    for interrupted_at in (5, 0, 9):
        part = Evaluator(interrupted_at)
        with pytest.raises(KeyboardInterrupt):
            search(digits_space, path, part)
        keys += part.keys
        with path.open("ab") as file:
            file.write(b'{"op_code":4,"torn')  # as a process leaves it that dies while it writes
    last = Evaluator()
    assert search(digits_space, path, last) == expected
    assert keys + last.keys == whole.keys
    again = Evaluator()
    assert search(digits_space, path, again) == expected
    assert again.keys == []
    anew = Evaluator()
    search(digits_space, path, anew, anew=True)
    assert anew.keys == whole.keys
    other = Evaluator()
    search(digits_space, path, other, seed=4)
    assert len(other.keys) > 12  # another identity takes nothing


def test_optuna_reads_the_journal(digits_space: SearchSpace, tmp_path: Path) -> None:
    """A dashboard sees trials with value, genes and sizes."""
    path = tmp_path / "journal.log"
    [*_, (_, new)] = [row for row in search(digits_space, path, Evaluator()) if row[1]]
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    [study] = optuna.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    assert study.best_trial is not None
    trials = optuna.load_study(
        study_name=study.study_name, storage=optuna.storages.JournalStorage(backend)
    ).trials
    candidate, trial = new[-1], trials[-1]
    assert trial.value == candidate.accuracy_percent
    assert trial.params["embed_dim"] == candidate.subnet.embed_dim
    assert trial.params["blocks.0.num_heads"] == candidate.subnet.blocks[0].num_heads
    assert trial.user_attrs["sram_bytes"] == candidate.sram_bytes
    assert study.user_attrs == {"conditions": CONDITIONS}


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
def test_a_damaged_journal_is_one_line(damaged, digits_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    search(digits_space, path, Evaluator())
    lines = damaged(path.read_text().splitlines())
    path.write_text("".join(f"{line}\n" for line in lines))
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match=r"journal\.log: damaged: .*remove it") as caught:
        Study(path, {"seed": 3}, digits_space, CONDITIONS)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_full_disk_is_one_line(
    digits_space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.log"
    study = Study(path, {}, digits_space, CONDITIONS)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"journal\.log: cannot be written: No space left") as e:
        study.evaluated(digits_space.smallest(digits_space.points()[0]), Evaluator())
    assert "\n" not in str(e.value)
