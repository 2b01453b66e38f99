"""The study of a search: every evaluation stands in an Optuna storage as soon as it is known."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from evolve.subnet_search.candidate import Candidate, Metric
from evolve.subnet_search.queue import Queue
from evolve.subnet_search.storage import faults_in_one_line, open_storage
from evolve.subnet_search.task import Search, Task
from evolve.subnet_search.trials import SIGN, SIGN_SECONDS, TrialReader, metrics_content
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import canonical_json, digest
from mcuformer.run.progress import say

MAXIMIZED = "accuracy_percent"  # all other metrics are minimised


class Study:
    """Evaluated subnets, which any number of searches and workers share.

    A trial is the evaluation of a subnet: its values are the objectives, its parameters the genes
    that have a choice, its attributes the whole subnet and all metrics.

    Args:
        location: path of a journal, which is created if it is missing, or the address of a
            database, for instance ``sqlite:///PATH``. It may hold several studies.
        evaluation: everything that an evaluation depends on apart from the subnet, as plain
            containers. Its digest, with the objectives, is the study's name: other settings have
            another study.
        search: strategy, problem and seed.
        conditions: what accuracies depend on in their last digit, by name: threads, versions.
        anew: whether to delete the study's earlier trials.
        shared: whether the user named the location; it must then be for the same space.

    Raises:
        ArtifactError: the storage is damaged, cannot be written, or is for another space.
    """

    def __init__(
        self,
        location: str,
        evaluation: Mapping[str, Any],
        search: Search,
        conditions: Mapping[str, Any],
        *,
        anew: bool = False,
        shared: bool = False,
    ) -> None:
        self.location, self.search = location, search
        objectives, space = search.problem.objectives, search.problem.space
        name = digest(canonical_json([dict(evaluation), list(objectives)]).encode())[:16]
        space_key = digest(canonical_json(space.dump()).encode())[:16]
        with faults_in_one_line(location):
            storage = open_storage(location)
            present = {study.study_name: study for study in storage.get_all_studies()}
            if anew and name in present:
                optuna.delete_study(study_name=name, storage=storage)
                del present[name]
            spaces = {study.user_attrs.get("space") for study in present.values()}
            spaces.discard(None)  # another worker has created its study this moment
            if shared and spaces and space_key not in spaces:
                raise ArtifactError("holds a study of another space", where=location)
            if name in present:
                self._study = optuna.load_study(study_name=name, storage=storage)
            else:
                self._study = self._new_study(storage, name, objectives)
            for key, value in (("space", space_key), ("conditions", dict(conditions))):
                if key not in self._study.user_attrs:
                    self._study.set_user_attr(key, value)
            earlier = dict(self._study.user_attrs["conditions"])
            self._reader = TrialReader(self._study)
            self._queue = Queue(search, self._study, self._reader)
            recorded = self._reader.recorded()
        if recorded:
            say(f"{len(recorded)} evaluations are recorded in {location} and not repeated")
            changed = [name for name, value in conditions.items() if earlier.get(name) != value]
            for name in changed:
                say(f"they were made with {name} {earlier.get(name)}, not {conditions[name]}")

    def _new_study(
        self, storage: BaseStorage, name: str, objectives: Sequence[Metric]
    ) -> optuna.Study:
        """Create the study, unless another worker has just done so."""
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["maximize" if m == MAXIMIZED else "minimize" for m in objectives],
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(objectives))
        return study

    def work(
        self,
        evaluate: Callable[[Task], Candidate],
        report: Callable[[list[Candidate]], None] = lambda candidates: None,
    ) -> None:
        """Evaluate proposals until none is left and other workers have finished theirs.

        Args:
            evaluate: measures a proposal.
            report: called after every evaluation with the search's candidates so far.

        Raises:
            ArtifactError: the storage is damaged, or cannot be written.
            BudgetError: no subnet keeps the limits.
        """
        while True:
            with faults_in_one_line(self.location):
                begun = self._queue.begin()
                known = self._reader.recorded()
            if begun is None:
                return
            trial, task = begun
            try:
                with self._giving_signs(trial):
                    candidate = known.get(task.proposal.key) or evaluate(task)
            except BaseException:
                self._study.tell(trial, state=TrialState.FAIL)  # free for other workers
                raise
            with faults_in_one_line(self.location):
                self._finish(trial, candidate)
                report(self.candidates())

    def candidates(self) -> list[Candidate]:
        """Return the search's candidates in the order that :meth:`Strategy.propose` sees."""
        with faults_in_one_line(self.location):
            progress = self._reader.progress(self.search.key)
        if self.search.strategy.batch == 1:
            return progress.by_completion
        return [progress.complete[number] for number in sorted(progress.complete)]

    @contextmanager
    def _giving_signs(self, trial: int) -> Iterator[None]:
        """Write now and then into a trial that its worker lives, for workers on other computers."""
        over = threading.Event()

        def signs() -> None:
            while not over.wait(SIGN_SECONDS):
                try:
                    self._set(trial, SIGN, time.time())
                except (RuntimeError, OSError):  # given up by another worker, or a full disk
                    return

        thread = threading.Thread(target=signs, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _finish(self, trial: int, candidate: Candidate) -> None:
        """Write an evaluation into the trial with a number, unless another worker gave it up."""
        order = len(self._reader.progress(self.search.key).complete)
        values = [candidate.value(metric) for metric in self.search.problem.objectives]
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self._set(trial, "metrics", {**metrics_content(candidate), "completed": order})
            self._study.tell(trial, values)

    def _set(self, trial: int, name: str, value: Any) -> None:
        """Set an attribute of the trial with a number."""
        storage = self._study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study._study_id, trial)
        storage.set_trial_user_attr(trial_id, name, value)
