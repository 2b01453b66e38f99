"""Accuracies in training: of subnets on held-out images, of a network on images it trains on."""

from __future__ import annotations

import numpy as np
from torch import nn

from mcuformer.data.dataset import Dataset
from mcuformer.data.images import Split
from mcuformer.seed import stream
from mcuformer.subnet import SubnetConfig
from supernet.evaluate import accuracy_percent
from supernet.sampling import Pool

FIXED_SUBNETS = ("smallest", "median", "largest")
RANDOM_SUBNETS = 4
MAX_IMAGES = 2000


def evaluations_per_epoch(num_images: int) -> int:
    """Return how many images :class:`Probes` classify per epoch, of a steering split this large."""
    return (len(FIXED_SUBNETS) + RANDOM_SUBNETS) * validation_images(num_images)


def validation_images(num_images: int) -> int:
    """Return how many images of a steering split this large are measured at a time."""
    return min(MAX_IMAGES, num_images)


class Probes:
    """Subnets that are measured after every epoch on a part of the steering split.

    The smallest, the median and the largest by MACs are chosen once, among subnets that the budget
    admits; the random ones are drawn anew each time.

    Args:
        pool: subnets of the supernet.
        dataset: at most :data:`MAX_IMAGES` images of its steering split are used.

    Raises:
        BudgetError: the budget admits no subnet.
    """

    def __init__(self, pool: Pool, dataset: Dataset) -> None:
        self.pool, self.preprocessing = pool, dataset.preprocessing
        admitted = pool.admitted("validation")
        chosen = admitted[0], admitted[len(admitted) // 2], admitted[-1]
        self.fixed = dict(zip(FIXED_SUBNETS, chosen, strict=True))
        self.split = validation_split(dataset, pool.seed)

    def __call__(self, model: nn.Module, epoch: int) -> dict[str, float]:
        """Return accuracies by ``NAME_percent``; that of the random subnets is their mean."""
        accuracies = {
            f"{name}_percent": self._accuracy(model, subnet) for name, subnet in self.fixed.items()
        }
        # to judge a subnet can take longer than to measure it, so only as many as needed are drawn
        drawn = self.pool.draw_admitted(RANDOM_SUBNETS, "validation", epoch)
        random = [self._accuracy(model, subnet) for subnet in drawn or self.fixed.values()]
        return accuracies | {"random_percent": float(np.mean(random))}

    def _accuracy(self, model: nn.Module, subnet: SubnetConfig) -> float:
        device = next(model.parameters()).device
        return accuracy_percent(
            lambda images: model(images, subnet), self.split, self.preprocessing, device
        )


class TrainingAccuracy:
    """The accuracy of a network that is trained on the steering split too, on a part of that split.

    No images are held out of fine-tuning but the test part, which only reports look at. So this
    shows that training proceeds, not how well the network will do on new pictures.

    Args:
        dataset: at most :data:`MAX_IMAGES` images of its steering split are used.
        seed: seed of the run.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.split, self.preprocessing = validation_split(dataset, seed), dataset.preprocessing

    def __call__(self, model: nn.Module, epoch: int) -> dict[str, float]:
        """Return ``training_accuracy_percent``."""
        device = next(model.parameters()).device
        accuracy = accuracy_percent(model, self.split, self.preprocessing, device)
        return {"training_accuracy_percent": accuracy}


def validation_split(dataset: Dataset, seed: int) -> Split:
    """Return at most :data:`MAX_IMAGES` images of the steering split, chosen by the seed."""
    count = validation_images(len(dataset.steering))
    chosen = stream(seed, "validation").permutation(len(dataset.steering))[:count]
    return dataset.steering.take(np.sort(chosen))
