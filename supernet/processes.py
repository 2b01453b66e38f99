"""The processes of a training, one or those that torchrun started, and what they exchange.

Every process draws the same subnets and trains them on its share of each batch. Gradients are
averaged by hand, in one message per step: the reducer of DistributedDataParallel has to search for
the parameters that a subnet left unused, and cannot join several subnets in one step (DESIGN.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn

from mcuformer.errors import ConfigError
from mcuformer.run.folder import locked
from mcuformer.run.progress import process_count

# while one process waits for another job's lock, the others wait for it; torchrun ends them if one
# of them fails
PATIENCE = timedelta(days=30)


class Processes:
    """The group of processes of a training.

    Args:
        trackers: names of accelerate's trackers.
        tracker_dir: directory that the trackers write to.
        alone: whether this process works by itself, on its device, although torchrun started
            others.

    Raises:
        ConfigError: a tracker is unknown or not installed.
    """

    def __init__(
        self, trackers: tuple[str, ...] = (), tracker_dir: str = ".", *, alone: bool = False
    ) -> None:
        check_trackers(trackers)
        self.alone = alone
        # without `cpu`, accelerate would not join torchrun's processes on a machine without a GPU
        cpu = process_count() > 1 and not torch.cuda.is_available()
        self.accelerator = Accelerator(
            cpu=cpu,
            log_with=list(trackers) or None,
            project_dir=tracker_dir,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
        if trackers:
            self.accelerator.init_trackers("mcuformer")

    @property
    def device(self) -> torch.device:
        """Device that this process computes on."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def share(self) -> tuple[int, int]:
        """(rank, world size)."""
        if self.alone:
            return 0, 1
        return self.accelerator.process_index, self.accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return self.share[0] == 0

    def check_batch_size(self, batch_size: int, *, mixed: bool, parts: int) -> None:
        """Refuse a batch that processes or subnets cannot share, or that Mixup cannot pair.

        Args:
            batch_size: images per step, over all processes.
            mixed: whether Mixup or CutMix is on.
            parts: number of subnets that share the images of a process out.

        Raises:
            ConfigError: with the sizes that would do.
        """
        count = self.share[1]
        if batch_size % count:
            raise ConfigError(
                "the batch cannot be shared evenly by the processes",
                where="recipe.batch_size",
                got=batch_size,
                expected=f"a multiple of {count}",
            )
        if batch_size // count < parts:
            raise ConfigError(
                "each subnet of a step needs an image of its own",
                where="recipe.batch_size",
                got=batch_size,
                expected=f"at least {parts * count}, or a smaller sampling.num_random",
            )
        if mixed and batch_size // count % 2:
            raise ConfigError(
                "mixing pairs the images of a process, whose number must be even",
                where="recipe.batch_size",
                got=batch_size // count,
                expected="an even number, or recipe.mixup=0 and recipe.cutmix=0",
            )

    def average(self, model: nn.Module, loss: Tensor) -> Tensor:
        """Average gradients and buffers over the processes, in place; return the mean loss."""
        if self.share[1] == 1:
            return loss
        tensors = [p.grad for p in model.parameters() if p.grad is not None]
        tensors += [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        message = torch.cat([loss.detach().reshape(1), *(tensor.flatten() for tensor in tensors)])
        mean: Tensor = self.accelerator.reduce(message, "mean")
        start = 1
        for tensor in tensors:
            tensor.copy_(mean[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()
        return mean[0]

    def wait(self) -> None:
        """Wait until every process has reached this call."""
        if self.share[1] > 1:
            self.accelerator.wait_for_everyone()

    @contextmanager
    def holding(self, directory: Path) -> Iterator[None]:
        """Hold the lock of a directory for all processes; the main one waits for it.

        Raises:
            ArtifactError: the directory cannot be created.
        """
        with locked(directory, wait=True) if self.is_main else nullcontext():
            self.wait()
            yield

    def agree(self, number: float) -> float:
        """Return the main process's `number` on every process."""
        [agreed] = self.sum([number if self.is_main else 0.0])
        return agreed

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Return the sums of the processes' numbers, at each position; zeros change no bit."""
        if self.share[1] == 1:
            return list(numbers)
        # MPS, which has no float64, has no group of processes either
        message = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        summed: list[float] = self.accelerator.reduce(message, "sum").tolist()
        return summed

    def end(self) -> None:
        """Leave the group of processes."""
        self.accelerator.end_training()

    def finish_trackers(self) -> None:
        """Make the trackers write what they buffered."""
        for tracker in self.accelerator.trackers:
            tracker.finish()


def check_trackers(names: tuple[str, ...]) -> None:
    """Refuse trackers that accelerate does not know or that are not installed.

    Raises:
        ConfigError: with the first such tracker.
    """
    from accelerate.tracking import get_available_trackers
    from accelerate.utils import LoggerType

    known = {str(kind.value) for kind in LoggerType} - {"all"}
    available = {str(getattr(kind, "value", kind)) for kind in get_available_trackers()}
    for name in names:
        if name not in known:
            raise ConfigError(
                "accelerate has no such tracker",
                where="trackers",
                got=name,
                expected=f"one of {', '.join(sorted(known))}",
            )
        if name not in available:
            raise ConfigError(
                f"the tracker {name} is not installed; pip install {name}", where="trackers"
            )
