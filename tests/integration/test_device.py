"""The search half computes on one device: it runs on a pretended GPU, which refuses CPU tensors.

A tensor of the pretended GPU holds its values on the CPU but says that it is on ``cuda:0``. As on a
real one, an operation that mixes devices fails, and so does numpy. These tests need no GPU; where
there is one, the last of them run on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from evolve.finetune import FINETUNE
from evolve.search import SEARCH
from evolve.space import SPACE
from mcuformer.data.preprocessing import Preprocessing
from supernet.data import to_device, to_tensor
from supernet.processes import Processes
from supernet.train import TRAIN

GPU, CPU = torch.device("cuda:0"), torch.device("cpu")
COLOUR = Preprocessing(
    img_size=9, channel_order="RGB", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


class GpuTensor(torch.Tensor):
    """A tensor that says it is on the GPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> GpuTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CPU,  # for autograd, whose threads for a GPU do not exist here
        )
        made.held = held
        return made

    @property
    def device(self) -> torch.device:
        return GPU

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        options = options or {}
        for leaf in tree_leaves((arguments, options)):
            stranger = isinstance(leaf, torch.Tensor) and not isinstance(leaf, GpuTensor)
            if stranger and leaf.ndim and not _may_mix(function, leaf is arguments[0]):
                raise RuntimeError(f"{function}: expected all tensors to be on the same device")
        # a slice that inference takes of an ordinary tensor is no tensor of inference
        with torch.inference_mode(False), torch.no_grad():
            result = function(*tree_map(_held, arguments), **tree_map(_held, options))
            result = tree_map(_on_gpu, result)
        return return_and_correct_aliasing(function, arguments, options, result)


def _may_mix(function: Any, first: bool) -> bool:
    """As on CUDA: copies cross devices, and what is indexed by numbers on the CPU stays."""
    aten = torch.ops.aten
    return function is aten.copy_.default or (function is aten.index.Tensor and not first)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, GpuTensor) else value


def _on_gpu(value: Any) -> Any:
    return GpuTensor(value) if type(value) is torch.Tensor else value


class _Up(torch.autograd.Function):
    """The copy of a tensor to the GPU."""

    @staticmethod
    def forward(context: Any, tensor: torch.Tensor) -> torch.Tensor:
        return GpuTensor(tensor.detach().clone())

    @staticmethod
    def backward(context: Any, gradient: Any) -> Any:
        return _held(gradient)


class PretendedGpu(TorchFunctionMode):
    """Carries tensors to the GPU and back, and makes new ones where they are asked for."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        options = dict(options or {})
        name = getattr(function, "__name__", "")
        first = arguments[0] if arguments else None
        if isinstance(first, GpuTensor):
            if name == "numpy":
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            if name == "tolist":
                return first.held.tolist()
            if name == "cpu":
                return first.held.detach().clone()
        if name == "to" and isinstance(first, torch.Tensor):
            return self._moved(function, first, arguments[1:], options)
        device = options.get("device")
        if device is not None and torch.device(device) == GPU:
            return GpuTensor(function(*arguments, **options | {"device": CPU}).detach())
        return function(*arguments, **options)

    def _moved(self, function: Any, tensor: torch.Tensor, rest: Any, options: Any) -> torch.Tensor:
        """Return ``tensor.to(...)``: its device, then its type."""
        wanted = [*rest, *options.values()]
        devices = [torch.device(v) for v in wanted if isinstance(v, torch.device | str)]
        devices += [v.device for v in wanted if isinstance(v, torch.Tensor)]
        dtypes = [v for v in wanted if isinstance(v, torch.dtype)]
        dtypes += [v.dtype for v in wanted if isinstance(v, torch.Tensor)]
        for device in devices:
            if device == GPU and not isinstance(tensor, GpuTensor):
                tensor = _Up.apply(tensor)
            elif device == CPU:
                tensor = _held(tensor).detach().clone()
        return function(tensor, dtypes[0]) if dtypes else tensor


@pytest.fixture
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Processes, "device", property(lambda self: GPU))
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with PretendedGpu():
        yield
    torch.__future__.set_overwrite_module_params_on_conversion(before)


def test_the_pretended_gpu_refuses_what_a_gpu_refuses(pretended_gpu: None) -> None:
    there, here = torch.ones(2, 3).to(GPU), torch.ones(2, 3)
    assert (there + there).device == GPU == torch.zeros(2, device=GPU).device
    refused: list[Callable[[], Any]] = [
        lambda: there + here,
        lambda: here @ there.T,
        lambda: torch.cat([there, here]),
        there.numpy,
    ]
    for refuse in refused:
        with pytest.raises((RuntimeError, TypeError), match="device"):
            refuse()
    assert (there + there).sum().item() == 12.0
    assert there.cpu().numpy().sum() == 6.0


def test_images_are_normalised_there_as_here(pretended_gpu: None) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 9, 9, 3)).astype(np.uint8)
    there = to_device(images, COLOUR, GPU)
    assert there.device == GPU
    assert torch.equal(there.cpu(), to_tensor(images, COLOUR))


SMALL = [
    "space.rank_ratio=[0.5,1.0]",
    "space.patch_size=[4]",
    "space.embed_dim=[32,48]",
    "space.depth=[1]",
    "data.test_fraction=0.6",
]
SPACE_SEARCH = [
    "space_search=random",
    "space_search.visit_epochs=1",
    "space_search.max_visits=2",
    "space_search.num_samples=4",
    "space_search.accuracy_subnets=2",
]
SHORT = ["recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.batch_size=128", "recipe.mixup=0.4"]
RECIPE = [*SHORT, "recipe.random_erasing=0.3", "recipe.hflip=true"]
EVALUATOR = ["evaluator=finetuned", *(f"evaluator.{setting}" for setting in SHORT)]
STRATEGY = ["strategy=random", "strategy.samples=2", "finalists=1"]


def run_the_search_half(run_dir: Path) -> None:
    common = ["threads=1", "data.test_fraction=0.6", f"run_dir={run_dir}"]
    lines = [
        (SPACE, [*SMALL, *SPACE_SEARCH, *RECIPE]),
        (TRAIN, [*SMALL, *RECIPE, "recipe.distillation.teacher=largest"]),
        (SEARCH, STRATEGY),
        (SEARCH, [*STRATEGY, *EVALUATOR]),
        (FINETUNE, [*RECIPE, "pruning=feedback"]),
    ]
    for command, line in lines:
        assert command.main([*common, *line]) == 0, command.name


def test_the_search_half_on_a_pretended_gpu(pretended_gpu: None, tmp_path: Path) -> None:
    run_the_search_half(tmp_path)


@needs_gpu
def test_the_search_half_on_a_gpu(tmp_path: Path) -> None:
    assert Processes().device.type == "cuda"
    run_the_search_half(tmp_path)


@needs_gpu
def test_images_are_normalised_on_a_gpu_as_here() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 9, 9, 3)).astype(np.uint8)
    assert torch.equal(to_device(images, COLOUR, "cuda").cpu(), to_tensor(images, COLOUR))
