"""Accuracy after a short training, from inherited weights or from nothing.

Pruning may be a part of the training, as in muNAS (Liberis et al., 2021, section 4.1) and SpArSe
(Fedorov et al., 2019, section 3.1).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evolve.evaluation.evaluator import Accuracy, Effort, Evaluator, Measure, Workbench
from evolve.subnet_search.candidate import Proposal, Pruned, Training
from evolve.subnet_search.task import Search, Task
from mcuformer.data.dataset import Dataset
from mcuformer.run.artifact import digest, read_value, save_arrays, write_json
from mcuformer.run.progress import say
from mcuformer.seed import derive
from mcuformer.subnet import SubnetConfig
from supernet.pruning.settings import PruningConfig, with_share
from supernet.recipe import Recipe

if TYPE_CHECKING:
    from supernet.vit import Vit


class TrainedEvaluator(Evaluator):
    """Trains every proposal on the training split; all its random choices follow from its key.

    Args:
        recipe: optimiser, schedule and augmentation of one evaluation. A proposal's own genes are
            factors on its rate and its weight decay.
        pruning: how the network is pruned while it trains; null is not at all.
    """

    recipe: Recipe
    pruning: PruningConfig | None = None

    @property
    def prunes(self) -> PruningConfig | None:
        return self.pruning

    def identity(self, search: Search, dataset: Dataset) -> dict[str, Any]:
        return {**self.content(), "seed": search.seed, "train": dataset.train.digest}

    def recipes(self, where: str) -> dict[str, Recipe]:
        return {f"{where}.recipe": self.recipe}

    def effort(self, evaluations: int, train: int, steering: int) -> Effort:
        steps = self.recipe.epochs * (train // self.recipe.batch_size)
        return Effort(evaluations * steps, evaluations * steering)

    def measure(self, bench: Workbench) -> Measure:
        """Return a function that trains a proposal and measures it on the steering split."""
        from supernet.pruning.prune import count_nonzero

        def trained(task: Task) -> Accuracy:
            network = self.network(bench, task)
            percent = bench.steering.accuracy_percent(network)
            if self.pruning is None:
                return Accuracy(percent)
            return Accuracy(percent, pruned=Pruned(network.subnet, count_nonzero(network)))

        return trained

    def network(self, bench: Workbench, task: Task) -> Vit:
        """Train a proposal, and prune it if asked for, or load it if it is kept.

        It is kept where a child may start from its weights, and where it is pruned, since the
        supernet does not hold such weights. An interrupted training continues from its checkpoint.
        """
        from supernet.checkpoint import model_arrays
        from supernet.pruning.compact import merge
        from supernet.pruning.prune import prune
        from supernet.task import network_task, seed_everything
        from supernet.trainer import train

        proposal, pruning = task.proposal, self.pruning
        share = proposal.training.pruning_share
        kept = Kept(bench, proposal.key)
        if kept.exists:
            return kept.load().eval()
        seed = derive(bench.search.seed, "evaluation", proposal.key)
        seed_everything(seed, "init")
        vit = self.start(bench, proposal)
        if pruning is not None:
            vit = merge(vit)
        _inherit(vit, bench, proposal)
        arrays = model_arrays(vit)
        start = digest(b"".join(arrays[name].tobytes() for name in sorted(arrays)))
        identity = {"subnet": vit.subnet.dump(), "start": start}
        recipe, directory = self.tuned(proposal.training), bench.directory / "training"
        dataset = bench.dataset.without_steering()
        training = network_task(vit, dataset, recipe, seed, directory, identity)
        training = replace(training, alone=True)  # other processes train other candidates
        told = f"candidate {proposal.key}"
        if pruning is None:
            model = train(training, recipe.epochs, told).model
        else:
            model = prune(training, with_share(pruning, share), told).model.eval()
        if pruning is not None or bench.search.strategy.inherits:
            kept.save(model)
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


@dataclass(frozen=True)
class Kept:
    """A trained candidate in the evaluator's folder: its shape, and its weights.

    Args:
        bench: what the evaluator works with.
        key: key of the candidate.
    """

    bench: Workbench
    key: str

    @property
    def exists(self) -> bool:
        """Whether it is kept."""
        return self.weights.exists()

    @property
    def weights(self) -> Path:
        """File of the weights; it is written last."""
        return self.bench.directory / "weights" / f"{self.key}.safetensors"

    @property
    def subnet(self) -> SubnetConfig:
        """Its shape, pruned if the evaluator prunes."""
        return read_value(self.weights.with_suffix(".json"), "subnet", SubnetConfig)

    def save(self, vit: Vit) -> None:
        """Keep a network."""
        from supernet.checkpoint import model_arrays

        write_json(self.weights.with_suffix(".json"), "subnet", vit.subnet.dump())
        save_arrays(self.weights, model_arrays(vit))

    def load(self) -> Vit:
        """Return the network.

        Raises:
            ArtifactError: a file is damaged.
        """
        from supernet.checkpoint import load_model
        from supernet.data import pad_value
        from supernet.vit import Vit

        vit = Vit(self.subnet, pad_value(self.bench.dataset.preprocessing))
        load_model(vit, self.weights)
        return vit.to(self.bench.device)


def _inherit(vit: Vit, bench: Workbench, proposal: Proposal) -> None:
    """Start a network from its parent's weights, if it has a parent.

    The weights are missing if another run evaluated the parent, in a study that both share.
    """
    from supernet.checkpoint import read_tensors
    from supernet.grow import grow

    if proposal.parent is None:
        return
    parent = Kept(bench, proposal.parent)
    if not parent.exists:
        say(f"{proposal.key}: the weights of its parent {parent.key} are not kept in this run")
        return
    grow(vit, parent.subnet, read_tensors(parent.weights))


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
