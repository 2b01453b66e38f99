"""Evaluations as trials of Optuna: how a proposal and its result stand in a study."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import Any

import optuna
import psutil
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from evolve.subnet_search.candidate import Candidate, Proposal, Pruned, Training
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig

SIGN = "sign_of_life"
SIGN_SECONDS = 15.0  # between two signs of life of a worker
LEASE_SECONDS = 120.0  # without one, after which a worker on another computer counts as dead


@dataclass(frozen=True)
class Worker:
    """A process that evaluates.

    Args:
        host: name of its computer.
        pid: number of the process.
        started: when the process began, in seconds, because numbers are used again.
    """

    host: str
    pid: int
    started: float

    @classmethod
    def here(cls) -> Worker:
        """Return this process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    def alive(self, last_sign: float) -> bool:
        """Return whether the process lives.

        Args:
            last_sign: when it last wrote that it does, in seconds of its clock. This is asked only
                of a process on another computer, whose clock must be right within a minute.
        """
        if self.host != socket.gethostname():
            return time.time() - last_sign < LEASE_SECONDS
        try:
            process = psutil.Process(self.pid)
            dead = process.status() == psutil.STATUS_ZOMBIE
            return process.create_time() == self.started and not dead
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Claim:
    """A worker's intention to evaluate a proposal, as its trial records it.

    Args:
        search: key of the search.
        number: number of the proposal in the search.
        key: key of the proposal.
        worker: who evaluates it.
    """

    search: str
    number: int
    key: str
    worker: Worker

    def dump(self) -> dict[str, Any]:
        """Return the claim as plain containers."""
        return {**vars(self), "worker": vars(self.worker)}

    @classmethod
    def of(cls, trial: FrozenTrial) -> Claim:
        """Return the claim of a trial.

        Raises:
            KeyError: the trial has none.
        """
        content = trial.user_attrs["claim"]
        return cls(**{**content, "worker": Worker(**content["worker"])})


@dataclass(frozen=True)
class Progress:
    """The trials of one search: evaluated, and being evaluated.

    Args:
        complete: evaluated candidates by the number of the proposal.
        order: these numbers in the order of completion.
        running: claims of living workers by the number of the trial.
    """

    complete: dict[int, Candidate]
    order: tuple[int, ...]
    running: dict[int, Claim]

    @property
    def taken(self) -> frozenset[str]:
        """Keys of all proposals that are evaluated or being evaluated."""
        keys = {candidate.key for candidate in self.complete.values()}
        return frozenset(keys | {claim.key for claim in self.running.values()})

    @property
    def numbers(self) -> frozenset[int]:
        """Numbers of all proposals that are evaluated or being evaluated."""
        return frozenset({*self.complete, *(claim.number for claim in self.running.values())})

    @property
    def by_number(self) -> list[Candidate]:
        """The candidates in the order of their proposals, up to the first that is missing."""
        complete = self.complete
        count = next(number for number in range(len(complete) + 1) if number not in complete)
        return [complete[number] for number in range(count)]

    @property
    def by_completion(self) -> list[Candidate]:
        """The candidates in the order of their completion."""
        return [self.complete[number] for number in self.order]

    @property
    def next_number(self) -> int:
        """The smallest number that nobody has taken."""
        numbers = self.numbers
        return next(number for number in range(len(numbers) + 1) if number not in numbers)


class TrialReader:
    """Reads the trials of a study; what it has parsed is not parsed again.

    Args:
        study: the study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._candidates: dict[int, Candidate] = {}

    def recorded(self) -> dict[str, Candidate]:
        """Return every evaluation of the study, of any search, by key."""
        found = (self._candidate(trial) for trial in self._trials(TrialState.COMPLETE))
        return {candidate.key: candidate for candidate in found}

    def progress(self, search: str) -> Progress:
        """Return the trials of a search.

        Running trials whose worker has died are marked as failed.
        """
        complete, order, running = {}, [], {}
        for trial in self._trials(TrialState.COMPLETE, TrialState.RUNNING):
            claim = Claim.of(trial)
            if claim.search != search:
                continue
            if trial.state == TrialState.COMPLETE:
                complete[claim.number] = self._candidate(trial)
                order.append((trial.user_attrs["metrics"]["completed"], trial.number, claim.number))
            elif claim.worker.alive(last_sign(trial)):
                running[trial.number] = claim
            else:
                self._give_up(trial)
        return Progress(complete, tuple(number for _, _, number in sorted(order)), running)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)

    def _candidate(self, trial: FrozenTrial) -> Candidate:
        if trial.number not in self._candidates:
            self._candidates[trial.number] = candidate_of(trial)
        return self._candidates[trial.number]

    def _give_up(self, trial: FrozenTrial) -> None:
        """Mark a trial as failed; another worker may do so at the same time."""
        try:
            self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        except optuna.exceptions.UpdateFinishedTrialError:
            return


def last_sign(trial: FrozenTrial) -> float:
    """Return when a running trial's worker last wrote that it lives, in seconds."""
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return float(trial.user_attrs.get(SIGN, begun))


def genes(proposal: Proposal, space: SearchSpace) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return value and choices of every gene that has a choice, by name."""
    subnet = proposal.subnet
    point = space.point_of(subnet)
    found: dict[str, tuple[Any, tuple[Any, ...]]] = {
        **{name: (getattr(point, name), choices) for name, choices in space.axes.items()},
        "embed_dim": (subnet.embed_dim, space.embed_dim),
        "depth": (subnet.depth, space.depth),
        "tokenizer": (subnet.tokenizer, space.tokenizer),
    }
    for number, block in enumerate(subnet.blocks):
        for gene, value in space.genes_of(block).items():
            found[f"blocks.{number}.{gene}"] = (value, space.block_genes[gene])
    return {name: gene for name, gene in found.items() if len(gene[1]) > 1 and gene[0] in gene[1]}


def begun(proposal: Proposal, claim: Claim, space: SearchSpace) -> FrozenTrial:
    """Return the trial of an evaluation that begins."""
    chosen = genes(proposal, space)
    return create_trial(
        state=TrialState.RUNNING,
        params={name: value for name, (value, _) in chosen.items()},
        distributions={name: CategoricalDistribution(c) for name, (_, c) in chosen.items()},
        user_attrs={"claim": claim.dump(), "proposal": proposal_content(proposal)},
    )


def proposal_content(proposal: Proposal) -> dict[str, Any]:
    """Return a proposal as plain containers."""
    subnet, training = proposal.subnet.dump(), proposal.training.dump()
    return {"subnet": subnet, "training": training, "parent": proposal.parent}


def metrics_content(candidate: Candidate) -> dict[str, Any]:
    """Return what an evaluation found, as plain containers."""
    return {
        "accuracy_percent": candidate.accuracy_percent,
        "sram_bytes": candidate.sram_bytes,
        "flash_bytes": candidate.flash_bytes,
        "macs": candidate.deployed.macs,
        "ms_high": candidate.ms_high,
        "images": candidate.images,
        "pruned": None if candidate.pruned is None else pruned_content(candidate.pruned),
        "fits": candidate.fits,
    }


def pruned_content(pruned: Pruned) -> dict[str, Any]:
    """Return what pruning left, as plain containers."""
    return {"subnet": pruned.subnet.dump(), "nonzero_params": pruned.nonzero_params}


def candidate_of(trial: FrozenTrial) -> Candidate:
    """Return the evaluation that a trial records.

    Raises:
        McuformerError: a subnet of the trial is not one.
        KeyError: an attribute is missing.
    """
    content, metrics = trial.user_attrs["proposal"], trial.user_attrs["metrics"]
    proposal = Proposal(
        SubnetConfig.parse(content["subnet"], where="subnet"),
        Training.parse(content["training"], where="training"),
        content["parent"],
    )
    pruned = metrics["pruned"]
    return Candidate(
        proposal,
        float(metrics["accuracy_percent"]),
        int(metrics["sram_bytes"]),
        int(metrics["flash_bytes"]),
        None if metrics["ms_high"] is None else float(metrics["ms_high"]),
        None if metrics["images"] is None else int(metrics["images"]),
        None if pruned is None else _pruned(pruned),
        bool(metrics["fits"]),
    )


def _pruned(content: dict[str, Any]) -> Pruned:
    subnet = SubnetConfig.parse(content["subnet"], where="pruned")
    return Pruned(subnet, int(content["nonzero_params"]))
