"""What a group of processes refuses; two processes for real: tests/integration/test_training.py."""

from __future__ import annotations

import pytest
import torch

from mcuformer.errors import ConfigError
from supernet.processes import Processes, check_trackers


class Group(Processes):
    """Three processes, without starting any."""

    @property
    def share(self) -> tuple[int, int]:
        return 0, 3


def test_batches_are_shared_evenly() -> None:
    group = Group()
    group.check_batch_size(12, mixed=True, parts=1)
    group.check_batch_size(9, mixed=False, parts=1)
    with pytest.raises(
        ConfigError, match=r"recipe\.batch_size: .*got 10, expected a multiple of 3"
    ):
        group.check_batch_size(10, mixed=False, parts=1)
    with pytest.raises(
        ConfigError, match=r"recipe\.batch_size: mixing pairs .*got 3, expected an even"
    ):
        group.check_batch_size(9, mixed=True, parts=1)
    group.check_batch_size(12, mixed=False, parts=4)
    with pytest.raises(
        ConfigError, match=r"recipe\.batch_size: each subnet .*got 9, expected at least 12"
    ):
        group.check_batch_size(9, mixed=False, parts=4)


def test_one_process_alone() -> None:
    alone, model = Processes(), torch.nn.Linear(2, 1)
    assert (alone.share, alone.is_main, alone.agree(7)) == ((0, 1), True, 7)
    loss = model(torch.ones(1, 2)).sum()
    loss.backward()
    before = model.weight.grad.clone()
    assert alone.average(model, loss) is loss
    assert torch.equal(model.weight.grad, before)


def test_unknown_trackers_are_named() -> None:
    check_trackers(())
    with pytest.raises(ConfigError, match="trackers: accelerate has no such tracker"):
        check_trackers(("nonsense",))
