"""Accuracy after a short training, from inherited weights or from nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evolve.evaluation.evaluator import Accuracy, Effort, Evaluator, Measure, Workbench
from evolve.subnet_search.candidate import Proposal, Training
from evolve.subnet_search.task import Search, Task
from mcuformer.data.dataset import Dataset
from mcuformer.run.artifact import digest, save_arrays
from mcuformer.run.progress import say
from mcuformer.seed import derive
from supernet.recipe import Recipe

if TYPE_CHECKING:
    from supernet.vit import Vit


class TrainedEvaluator(Evaluator):
    """Trains every proposal on the training split; all its random choices follow from its key.

    Args:
        recipe: optimiser, schedule and augmentation of one evaluation. A proposal's own genes are
            factors on its rate and its weight decay.
    """

    recipe: Recipe

    def identity(self, search: Search, dataset: Dataset) -> dict[str, Any]:
        return {**self.content(), "seed": search.seed, "train": dataset.train.digest}

    def recipes(self, where: str) -> dict[str, Recipe]:
        return {f"{where}.recipe": self.recipe}

    def effort(self, evaluations: int, train: int, steering: int) -> Effort:
        steps = self.recipe.epochs * (train // self.recipe.batch_size)
        return Effort(evaluations * steps, evaluations * steering)

    def measure(self, bench: Workbench) -> Measure:
        """Return a function that trains a proposal and measures it on the steering split."""

        def trained(task: Task) -> Accuracy:
            return Accuracy(bench.steering.accuracy_percent(self.network(bench, task)))

        return trained

    def network(self, bench: Workbench, task: Task) -> Vit:
        """Train a proposal, or load its weights where the strategy makes them be kept.

        An interrupted training continues from its checkpoint.
        """
        from supernet.checkpoint import load_model, model_arrays
        from supernet.task import network_task, seed_everything
        from supernet.trainer import train

        proposal = task.proposal
        seed = derive(bench.search.seed, "evaluation", proposal.key)
        seed_everything(seed, "init")
        vit = self.start(bench, proposal)
        kept = weights_file(bench, proposal.key)
        if kept.exists():
            load_model(vit, kept)
            return vit.to(bench.device).eval()
        _inherit(vit, bench, task)
        arrays = model_arrays(vit)
        start = digest(b"".join(arrays[name].tobytes() for name in sorted(arrays)))
        identity = {"subnet": vit.subnet.dump(), "start": start}
        recipe, directory = self.tuned(proposal.training), bench.directory / "training"
        dataset = bench.dataset.without_steering()
        training = network_task(vit, dataset, recipe, seed, directory, identity)
        training = replace(training, alone=True)  # other processes train other candidates
        model = train(training, recipe.epochs, f"candidate {proposal.key}").model
        if bench.search.strategy.inherits:
            save_arrays(kept, model_arrays(model))
        shutil.rmtree(training.directory)
        return model

    def start(self, bench: Workbench, proposal: Proposal) -> Vit:
        """Return the network to train, with its first weights."""
        raise NotImplementedError

    def tuned(self, training: Training) -> Recipe:
        """Return the recipe with a proposal's own rate and weight decay."""
        recipe = self.recipe
        rates = {
            "lr": recipe.lr * training.lr_factor,
            "weight_decay": recipe.weight_decay * training.weight_decay_factor,
        }
        return recipe.model_copy(update=rates)


def weights_file(bench: Workbench, key: str) -> Path:
    """Return the file of a candidate's weights, kept if the strategy lets others inherit them."""
    return bench.directory / "weights" / f"{key}.safetensors"


def _inherit(vit: Vit, bench: Workbench, task: Task) -> None:
    """Start a network from its parent's weights, if it has a parent.

    The weights are missing if another run evaluated the parent, in a study that both share.
    """
    from supernet.checkpoint import read_tensors
    from supernet.grow import grow

    parent = task.proposal.parent
    if parent is None:
        return
    path = weights_file(bench, parent)
    if not path.exists():
        say(f"{task.proposal.key}: the weights of its parent {parent} are not kept in this run")
        return
    subnet = next(candidate.subnet for candidate in task.history if candidate.key == parent)
    factors = {"full_rank_factors": vit.subnet.full_rank_factors}
    grow(vit, subnet.model_copy(update=factors), read_tensors(path))


class FinetunedConfig(TrainedEvaluator):
    """A short training from the weights that a subnet inherits from the supernet."""

    name: Literal["finetuned"] = "finetuned"

    def start(self, bench: Workbench, proposal: Proposal) -> Vit:
        from supernet.extract import extract
        from supernet.vit import Vit

        inherited = extract(bench.supernet, proposal.subnet)
        vit = Vit(inherited.subnet, bench.supernet.pad_value, self.recipe.drop_path_rate)
        vit.load_state_dict(inherited.state_dict())
        return vit


class ScratchConfig(TrainedEvaluator):
    """A short training from nothing (muNAS, section 4, trains longer)."""

    name: Literal["scratch"] = "scratch"

    def start(self, bench: Workbench, proposal: Proposal) -> Vit:
        from supernet.data import pad_value
        from supernet.vit import Vit

        padding = pad_value(bench.dataset.preprocessing)
        return Vit(proposal.subnet, padding, self.recipe.drop_path_rate)
