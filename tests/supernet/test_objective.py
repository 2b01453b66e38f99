"""What a training step descends, beside sums over images that are computed one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional

from mcuformer.data.dataset import DataConfig, load
from mcuformer.space import SearchSpace
from supernet.model import Supernet
from supernet.objective import Objective
from supernet.processes import Processes
from supernet.recipe import Distillation, Recipe
from supernet.sampling import SandwichSampling
from supernet.task import SupernetSetting, network_task, supernet_task
from supernet.vit import Vit

WEIGHT, SMOOTHING = 0.25, 0.1


def test_a_sandwich_shares_images_out_and_learns_from_the_largest(
    digits_space: SearchSpace, digits_config: DataConfig, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=1, warmup_epochs=0, batch_size=8, lr=1e-3, label_smoothing=SMOOTHING)
    sampling = SandwichSampling(name="sandwich", num_random=1, weight=WEIGHT)
    setting = SupernetSetting(recipe, sampling, 7, tmp_path)
    task = supernet_task(digits_space, digits_space.point_at((1, 2)), load(digits_config), setting)
    model, generator = task.model, torch.Generator().manual_seed(1)
    images, labels = torch.randn(8, 1, 8, 8, generator=generator), torch.arange(8)
    loss = Objective(task, model, Processes(), mixed=False).backward(images, labels, 0, 0)
    found = {name: p.grad.clone() for name, p in model.named_parameters()}  # all have one
    model.zero_grad()
    assert task.sampler is not None
    largest, *others = (visit.subnet for visit in task.sampler(0, 0))
    losses = []
    for i in range(8):
        image, label = images[i : i + 1], labels[i : i + 1]
        taught = model(image, largest)
        losses.append(functional.cross_entropy(taught, label, label_smoothing=SMOOTHING))
        student = model(image, others[i % 2])
        wanted = taught.detach().softmax(1)
        distance = (wanted * (wanted.log() - student.log_softmax(1))).sum()
        own = functional.cross_entropy(student, label, label_smoothing=SMOOTHING)
        losses.append((1 - WEIGHT) * own + WEIGHT * distance)
    expected = torch.stack(losses).mean()
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_the_largest_subnet_of_another_supernet_teaches_a_network(
    digits_space: SearchSpace, digits_config: DataConfig, tmp_path: Path
) -> None:
    data, point = load(digits_config), digits_space.point_at((1, 2))
    distillation = Distillation(teacher="largest", weight=1.0, temperature=2.0)
    recipe = Recipe(epochs=1, warmup_epochs=0, batch_size=8, lr=1e-3, distillation=distillation)
    supernet, student = Supernet(digits_space, point, (0.0,)), digits_space.smallest(point)
    network = Vit(student, (0.0,))
    task = replace(network_task(network, data, recipe, 7, tmp_path, {}), supernet=supernet)
    images, labels = torch.randn(8, 1, 8, 8), torch.arange(8)
    loss = Objective(task, network, Processes(), mixed=False).backward(images, labels, 0, 0)
    wanted = (supernet.eval()(images, digits_space.largest(point)) / 2.0).softmax(1)
    given = (network(images) / 2.0).log_softmax(1)
    torch.testing.assert_close(loss, 4.0 * (wanted * (wanted.log() - given)).sum(1).mean().detach())
    assert all(parameter.grad is None for parameter in supernet.parameters())
