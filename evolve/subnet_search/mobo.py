"""Bayesian optimisation of several objectives, in stages.

Source: SpArSe (Fedorov et al., 2019, section 4), with the random scalarisations of Paria et al.,
2019: a Gaussian process per objective, of which one function each is drawn (Thompson sampling); the
proposal is the least of their scalarisation. All objectives are modelled, the sizes too: where
pruning is part of an evaluation, they are not known before it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from evolve.subnet_search.candidate import Candidate, Metric, Proposal, Training
from evolve.subnet_search.distance import DistanceTable
from evolve.subnet_search.gaussian_process import GaussianProcess
from evolve.subnet_search.morphs import beside, morphs
from evolve.subnet_search.problem import Either, Problem
from evolve.subnet_search.ranking import ranked
from evolve.subnet_search.scalarisation import Scalarisation, ScalarisedStrategy
from evolve.subnet_search.shares import drawn, mutated
from mcuformer.limits import MAX_CHOICES, Candidates
from mcuformer.space import draw
from mcuformer.value import Value

Matrix = npt.NDArray[np.float64]
Factors = Annotated[
    tuple[Annotated[float, Field(gt=0.0, le=100.0)], ...],
    Field(min_length=1, max_length=MAX_CHOICES),
]

PERIOD = 50  # candidates after which the distances of rivals are forgotten
TRAINING_STEP = 0.1  # distance of two trainings per factor of 2, where networks have at most 1


class Stage(Value):
    """A stage of the search.

    Args:
        share: its part of all candidates; those of all stages add up to 1.
        objectives: metrics that it optimises.
    """

    share: Annotated[float, Field(gt=0.0, le=1.0)]
    objectives: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=5)]


STAGES = (
    Stage(share=0.4, objectives=("accuracy_percent",)),
    Stage(share=0.3, objectives=("accuracy_percent", "flash_bytes")),
    Stage(share=0.3, objectives=("accuracy_percent", "flash_bytes", "sram_bytes")),
)


class MoboConfig(ScalarisedStrategy):
    """Settings of the multi-objective Bayesian optimisation.

    Args:
        rounds: number of candidates.
        stages: stages in order; each one starts from the candidates of those before it.
        initial: number of first candidates that are drawn at random.
        parents: number of best candidates, by fronts and then by room on a front, whose morphs may
            be proposed.
        pool: number of morphs, drawn among all of the parents', that compete for a proposal.
        fresh: number of random subnets that compete with them.
        lr_factors: choices of the factor on the learning rate, for evaluators that train.
        weight_decay_factors: choices of the factor on the weight decay, likewise.
    """

    name: Literal["mobo"] = "mobo"
    rounds: Candidates = 80
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=10)] = STAGES
    initial: Candidates = 10
    parents: Candidates = 5
    pool: Candidates = 16
    fresh: Candidates = 4
    lr_factors: Factors = (1.0,)
    weight_decay_factors: Factors = (1.0,)

    @model_validator(mode="after")
    def _check(self) -> MoboConfig:
        for name in ("lr_factors", "weight_decay_factors"):
            choices = getattr(self, name)
            if list(choices) != sorted(set(choices)):
                raise ValueError(f"{name} must ascend without repetition")
        total = sum(stage.share for stage in self.stages)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the stages' shares add up to {total:g}, expected 1")
        return self

    @property
    def evaluations(self) -> int:
        return self.rounds

    @property
    def inherits(self) -> bool:
        return True

    @property
    def tunes(self) -> bool:
        return self.lr_factors != (1.0,) or self.weight_decay_factors != (1.0,)

    def metrics(self, problem: Problem) -> tuple[Metric, ...]:
        named = (metric for stage in self.stages for metric in stage.objectives)
        return tuple(self.scalarisation(problem).among([*dict.fromkeys(named)]).bounds)

    def stage(self, number: int) -> Stage:
        """Return the stage of the candidate with a number."""
        ends = np.rint(np.cumsum([stage.share for stage in self.stages]) * self.rounds)
        return self.stages[int(np.searchsorted(ends[:-1], number, side="right"))]

    def propose(
        self,
        problem: Problem,
        history: Sequence[Candidate],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        rivals = self._rivals(problem, history, taken, rng)
        if len(history) < self.initial or len(rivals) < 2:
            return rivals[:1]
        objectives = self.stage(len(history)).objectives
        scalarisation = self.scalarisation(problem).among(objectives)
        drawn = drawn_losses(history, rivals, scalarisation, rng)
        scalars = scalarisation.scalars(drawn, scalarisation.weights(rng))
        return [rivals[int(np.argmin(scalars))]]

    def _rivals(
        self,
        problem: Problem,
        history: Sequence[Candidate],
        taken: Container[str],
        rng: np.random.Generator,
    ) -> list[Proposal]:
        """Return new admissible proposals that compete: morphs, and random ones."""
        found: dict[str, Proposal] = {}
        if len(history) >= self.initial:
            children = list(self._children(problem, history, rng))
            for index in rng.permutation(len(children)):
                child = children[int(index)]
                if len(found) == self.pool:
                    break
                if child.key not in taken and problem.takes(child):
                    found[child.key] = child
        known = Either(taken, found.copy())
        fresh = problem.filled((), self.fresh, known, rng, lambda: self._training(rng))
        return [*found.values(), *fresh]

    def _training(self, rng: np.random.Generator) -> Training:
        """Draw the genes of a training."""
        return Training(
            lr_factor=draw(self.lr_factors, rng),
            weight_decay_factor=draw(self.weight_decay_factors, rng),
            pruning_share=drawn(self.shares, rng),
        )

    def _children(
        self, problem: Problem, history: Sequence[Candidate], rng: np.random.Generator
    ) -> Iterator[Proposal]:
        """Yield all morphs of the parents, of their networks and of their trainings.

        The share to prune, if that is a gene, changes with every morph of a network.
        """
        objectives = self.stage(len(history)).objectives
        losses = [[c.loss(metric) for metric in objectives] for c in history]
        for row in ranked(history, losses)[: self.parents]:
            parent = row.candidate.proposal
            for morph in morphs(problem, parent.subnet):
                origin = parent.key if morph.preserving else None
                share = mutated(self.shares, parent.training.pruning_share, rng)
                training = parent.training.model_copy(update={"pruning_share": share})
                yield Proposal(morph.subnet, training, origin)
            for gene, choices in (
                ("lr_factor", self.lr_factors),
                ("weight_decay_factor", self.weight_decay_factors),
            ):
                for choice, _ in beside(choices, getattr(parent.training, gene)):
                    training = parent.training.model_copy(update={gene: choice})
                    yield Proposal(parent.subnet, training, parent.key)


def drawn_losses(
    history: Sequence[Candidate],
    rivals: Sequence[Proposal],
    scalarisation: Scalarisation,
    rng: np.random.Generator,
) -> Matrix:
    """Return a loss of every objective and rival, drawn from processes that fit the history.

    Returns:
        Losses, (rivals, objectives).
    """
    known = [candidate.proposal for candidate in history]
    of_known, of_rivals = distance_table("known", 0), distance_table("rivals", len(known) // PERIOD)
    among_known = distances(known, known, of_known)
    to_known = distances(rivals, known, of_rivals)
    among = distances(rivals, rivals, of_rivals)
    columns = []
    for values in scalarisation.losses(history).T:
        process = GaussianProcess.fit(among_known, values)
        columns.append(process.draw(to_known, among, rng))
    return np.stack(columns, axis=1)


def distances(ones: Sequence[Proposal], others: Sequence[Proposal], table: DistanceTable) -> Matrix:
    """Return the distance of every proposal to every other, (n, m).

    It is the transport distance of the networks as a share of both networks' MACs, from 0 to 1, and
    besides 0.1 for every factor of 2 between their trainings, or between what pruning leaves.

    Args:
        ones: proposals of the rows.
        others: proposals of the columns.
        table: remembers the distances of networks.
    """
    rows, columns = [p.subnet for p in ones], [p.subnet for p in others]
    macs = np.array([s.macs for s in rows])[:, None] + np.array([s.macs for s in columns])
    shares = 1e3 * table.between(rows, columns) / macs
    a, b = (np.array([_doublings(p.training) for p in side]) for side in (ones, others))
    result: Matrix = shares + TRAINING_STEP * np.abs(a[:, None] - b).sum(axis=2)
    return result


@lru_cache(maxsize=2)
def distance_table(name: str, period: int) -> DistanceTable:
    """Return a table of this process; a distance depends on nothing but its networks.

    Args:
        name: ``known`` for distances of candidates to one another, which the whole search needs, or
            ``rivals``.
        period: number of the table; an earlier one is dropped, because most rivals of a while ago
            do not come back.
    """
    return DistanceTable()


def _doublings(training: Training) -> tuple[float, ...]:
    left = 1.0 - (training.pruning_share or 0.0)
    factors = training.lr_factor, training.weight_decay_factor, left
    return tuple(map(float, np.log2(factors)))
