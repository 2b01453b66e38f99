"""The study of a search: every evaluation stands in an Optuna journal as soon as it is known."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from evolve.subnet_search.evolution import Candidate
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import canonical_json, digest
from mcuformer.run.folder import writing
from mcuformer.run.progress import say
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig


class Study:
    """Evaluated subnets in a journal, which an interrupted search continues from.

    A trial of the study is a subnet: its value is the accuracy, its parameters are the genes, its
    attributes hold SRAM, flash, modelled time and the whole subnet. One line of the journal holds
    one trial.

    Args:
        path: journal, which may hold several studies; it is created if it is missing.
        identity: everything that an evaluation depends on, as plain containers; its digest is the
            study's name, so that other settings have another study.
        space: search space, whose choices are the parameters' distributions.
        conditions: what accuracies depend on in their last digit, by name: threads, versions.
        anew: whether to delete the study's earlier trials.

    Raises:
        ArtifactError: the journal is damaged, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        space: SearchSpace,
        conditions: Mapping[str, Any],
        *,
        anew: bool = False,
    ) -> None:
        self.path, self.space = path, space
        name = digest(canonical_json(identity).encode())[:16]
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with faults_in_one_line(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            storage = open_storage(path)
            names = {study.study_name for study in storage.get_all_studies()}
            if anew and name in names:
                optuna.delete_study(study_name=name, storage=storage)
                names.remove(name)
            if name not in names:
                self._study = optuna.create_study(
                    storage=storage, study_name=name, direction="maximize"
                )
                self._study.set_user_attr("conditions", dict(conditions))
            else:
                self._study = optuna.load_study(study_name=name, storage=storage)
            trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            recorded = [_candidate(trial) for trial in trials]
            earlier = dict(self._study.user_attrs.get("conditions", {}))
        self._recorded = {candidate.subnet.key: candidate for candidate in recorded}
        if recorded:
            say(f"{len(recorded)} evaluations are recorded in {path} and not repeated")
            changed = [name for name, value in conditions.items() if earlier.get(name) != value]
            for name in changed:
                say(f"they were made with {name} {earlier.get(name)}, not {conditions[name]}")

    def evaluated(
        self, subnet: SubnetConfig, evaluate: Callable[[SubnetConfig], Candidate]
    ) -> Candidate:
        """Return the recorded evaluation of a subnet or, if there is none, make and record it.

        Raises:
            ArtifactError: the journal cannot be written.
        """
        if subnet.key not in self._recorded:
            candidate = evaluate(subnet)
            trial = self._trial(candidate)
            with faults_in_one_line(self.path):
                self._study.add_trial(trial)
            self._recorded[subnet.key] = candidate
        return self._recorded[subnet.key]

    def _trial(self, candidate: Candidate) -> FrozenTrial:
        """Return a finished trial with the genes that have a choice."""
        subnet, space = candidate.subnet, self.space
        genes: dict[str, tuple[Any, tuple[Any, ...]]] = {
            "embed_dim": (subnet.embed_dim, space.embed_dim),
            "depth": (subnet.depth, space.depth),
            "tokenizer": (subnet.tokenizer, space.tokenizer),
        }
        for number, block in enumerate(subnet.blocks):
            for gene, value in space.genes_of(block).items():
                genes[f"blocks.{number}.{gene}"] = (value, space.block_genes[gene])
        free = {name: gene for name, gene in genes.items() if len(gene[1]) > 1}
        return create_trial(
            value=candidate.accuracy_percent,
            params={name: value for name, (value, _) in free.items()},
            distributions={name: CategoricalDistribution(c) for name, (_, c) in free.items()},
            user_attrs={
                "sram_bytes": candidate.sram_bytes,
                "flash_bytes": candidate.flash_bytes,
                "ms_high": candidate.ms_high,
                "subnet": subnet.dump(),
            },
        )


class KernelLock(JournalFileOpenLock):
    """Optuna's lock of a journal, held by the kernel: it ends with the process that holds it.

    Optuna's own locks are files, which a killed process leaves behind and others then wait for.
    """

    def __init__(self, filepath: str) -> None:
        super().__init__(filepath)
        self.path, self.handle = filepath, -1

    def acquire(self) -> bool:
        """Wait for the lock."""
        self.handle = os.open(self.path, os.O_RDWR)
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Give the lock back."""
        os.close(self.handle)


def open_storage(path: Path) -> JournalStorage:
    """Open a journal without the incomplete last line that a killed process may leave in it.

    Raises:
        Exception: the journal is damaged elsewhere; it is left as it is.
    """
    torn = cut_torn_line(path)
    try:
        lock = KernelLock(str(path))
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except Exception:
        with path.open("ab") as file:
            file.write(torn)
        raise


def cut_torn_line(path: Path) -> bytes:
    """Cut an incomplete last line; return it.

    Raises:
        ValueError: another line is not JSON; nothing is cut.
    """
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        *lines, torn = file.read().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
        if torn:
            file.truncate(file.tell() - len(torn))
    return torn


@contextmanager
def faults_in_one_line(path: Path) -> Iterator[None]:
    """Turn whatever Optuna raises about the journal `path` into one line.

    Raises:
        ArtifactError: the journal is damaged, or cannot be read or written.
    """
    try:
        with writing(path):
            yield
    except ArtifactError:
        raise
    except Exception as error:  # Optuna trusts its journal: damage shows as any exception
        raise ArtifactError(
            f"damaged: {type(error).__name__}: {error}; remove it to evaluate anew", where=path
        ) from error


def _candidate(trial: FrozenTrial) -> Candidate:
    """Return the evaluation that a trial records.

    Raises:
        McuformerError: the trial's subnet is not one.
        KeyError: an attribute is missing.
    """
    attributes = trial.user_attrs
    return Candidate(
        SubnetConfig.parse(attributes["subnet"], where="subnet"),
        float(trial.values[0]),
        int(attributes["sram_bytes"]),
        int(attributes["flash_bytes"]),
        None if attributes["ms_high"] is None else float(attributes["ms_high"]),
    )
