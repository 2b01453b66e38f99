"""Which proposal a worker evaluates next, for any number of workers on one study."""

from __future__ import annotations

import time

import optuna

from evolve.subnet_search.candidate import Candidate, Proposal
from evolve.subnet_search.task import Search, Task
from evolve.subnet_search.trials import Claim, Progress, TrialReader, Worker, begun

WAIT_SECONDS = 0.05  # between two looks at evaluations that other workers have not finished


class Queue:
    """The proposals of a search, in order.

    Workers need no lock. A trial is created in one write with all that it says, and the storage
    numbers trials one after the other. So a worker that has begun one sees every earlier trial; if
    one of them is for the same proposal, it gives way. What a worker that died was evaluating is
    free again.

    Args:
        search: strategy, problem and seed.
        study: study of Optuna.
        reader: reads its trials.
    """

    def __init__(self, search: Search, study: optuna.Study, reader: TrialReader) -> None:
        self._search, self._study, self._reader = search, study, reader
        self._key, self._worker = search.key, Worker.here()
        self._batch: tuple[int, tuple[Candidate, ...], list[Proposal]] = (-1, (), [])

    def begin(self) -> tuple[int, Task] | None:
        """Begin the next trial; return its number and what it evaluates, or None if none is left.

        Raises:
            BudgetError: no subnet keeps the limits.
        """
        storage, space = self._study._storage, self._search.problem.space
        while True:
            progress = self._reader.progress(self._key)
            task = self._free(progress)
            if task is None:
                if not progress.running:
                    return None
                time.sleep(WAIT_SECONDS)
                continue
            claim = Claim(self._key, task.number, task.proposal.key, self._worker)
            trial_id = storage.create_new_trial(
                self._study._study_id, begun(task.proposal, claim, space)
            )
            trial = storage.get_trial_number_from_id(trial_id)
            if not self._forestalled(trial, claim):
                return trial, task
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def _free(self, progress: Progress) -> Task | None:
        """Return a proposal that nobody evaluates, or None if there is none at the moment."""
        strategy = self._search.strategy
        if strategy.batch == 1:
            number, history = progress.next_number, tuple(progress.by_completion)
            if number >= strategy.evaluations:
                return None
            proposals = self._search.propose(number, history, progress.taken)
            return Task(number, proposals[0], history) if proposals else None
        done = progress.by_number
        first = len(done) // strategy.batch * strategy.batch
        if first >= strategy.evaluations:
            return None
        if self._batch[0] != first:
            history = tuple(done[:first])
            taken = frozenset(candidate.key for candidate in history)
            self._batch = (first, history, self._search.propose(first, history, taken))
        _, history, batch = self._batch
        numbers = progress.numbers
        for number, proposal in enumerate(batch, first):
            if number not in numbers:
                return Task(number, proposal, history)
        return None

    def _forestalled(self, trial: int, claim: Claim) -> bool:
        """Return whether an earlier trial, or a finished one, is for the same proposal."""
        progress = self._reader.progress(self._key)
        rivals = [other for number, other in progress.running.items() if number < trial]
        same = any(other.number == claim.number or other.key == claim.key for other in rivals)
        finished = {candidate.key for candidate in progress.complete.values()}
        return same or claim.number in progress.complete or claim.key in finished
