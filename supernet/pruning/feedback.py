"""Dynamic pruning with feedback: importance of groups, and masks that follow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from supernet.pruning.compact import (
    compact,
    last_matrix,
    reading_matrix,
    writing_matrix,
)
from supernet.pruning.groups import Floats, GroupSet, Masks, choose, group_sets
from supernet.pruning.layers import MaskedLinear, linear_at, put_layer
from supernet.pruning.method import Method, readers
from supernet.pruning.settings import FeedbackPruning
from supernet.vit import Vit


class Feedback(Method):
    """Dynamic pruning with feedback; the masks are buffers of :class:`MaskedLinear` layers."""

    def __init__(self, settings: FeedbackPruning, total_steps: int) -> None:
        self.settings, self.total_steps = settings, total_steps

    def install(self, vit: Vit) -> None:
        """Mask the columns of every matrix that reads groups, or writes to the stream."""
        for path, group_set in readers(vit.subnet).items():
            put_layer(vit, path, MaskedLinear(linear_at(vit, path), group_set.size))

    def before_step(self, vit: Vit, step: int) -> None:
        """Choose the groups anew every `refresh_steps`, and at the last step."""
        if step % self.settings.refresh_steps and step + 1 != self.total_steps:
            return
        share = self.settings.share_at((step + 1) / self.total_steps)
        kinds = self.settings.kinds(vit.subnet)
        set_masks(vit, choose(vit.subnet, importance(vit), kinds, share))

    def penalty(self, vit: Vit, step: int) -> None:
        """Add nothing to the loss."""

    def finish(self, vit: Vit) -> Vit:
        """Return the network without the groups that its masks leave out."""
        return compact(vit, read_masks(vit))


@torch.no_grad()
def importance(vit: Vit) -> Mapping[GroupSet, Floats]:
    """Return the importance of every group, by set.

    It is the root of the group's part in the variance of the output of the matrix that reads it,
    per weight. For inputs of unit variance, a channel with the weights a has the variance |a|^2,
    and adds |a|^2 |b|^2 / len(b) to that of the mean output, where b are the weights that read it.
    This is summed over the group's channels and divided by its number of weights, so that groups of
    different sizes compare. In a new dense network all of them are about equally important. The
    part of a block is that of its heads and hidden units.
    """
    subnet = vit.subnet
    parts: dict[GroupSet, Tensor] = {}
    sizes: dict[GroupSet, int] = {}
    for group_set in group_sets(subnet):
        if group_set.kind != "block":
            rows = linear_at(vit, writing_matrix(subnet, group_set)).weight.double().square()
            columns = linear_at(vit, reading_matrix(subnet, group_set)).weight.double().square()
            sections = 3 if group_set.kind == "head" else 1  # of a fused qkv
            given = rows.reshape(sections, group_set.size, -1).sum(dim=(0, 2)) / sections
            read = columns.reshape(len(columns), group_set.size, -1).mean(dim=(0, 2))
            parts[group_set] = given * read
            sizes[group_set] = (rows.numel() + columns.numel()) // group_set.size
    for block in [group_set for group_set in group_sets(subnet) if group_set.kind == "block"]:
        halves = [s for s in parts if s.block == block.block and s.kind in ("head", "hidden")]
        parts[block] = torch.stack([parts[s].sum() for s in halves]).sum(dim=0, keepdim=True)
        sizes[block] = sum(sizes[s] * s.size for s in halves)
    return {s: (part / sizes[s]).sqrt().cpu().numpy() for s, part in parts.items()}


def set_masks(vit: Vit, masks: Masks) -> None:
    """Leave the groups that are not kept out of a network of masked layers."""
    subnet = vit.subnet
    for path, group_set in readers(subnet).items():
        if group_set in masks:
            _masked(vit, path).kept.copy_(torch.from_numpy(masks[group_set]))
    for group_set in group_sets(subnet):
        if group_set.kind == "block" and group_set in masks:
            for name in ("proj", "fc2"):
                layer = _masked(vit, last_matrix(subnet, group_set.block, name))
                layer.on.copy_(torch.from_numpy(masks[group_set]))


def read_masks(vit: Vit) -> Masks:
    """Return the masks of a network of masked layers."""
    subnet = vit.subnet
    masks = {s: _masked(vit, path).kept.cpu().numpy() for path, s in readers(subnet).items()}
    for group_set in group_sets(subnet):
        if group_set.kind == "block":
            layer = _masked(vit, last_matrix(subnet, group_set.block, "proj"))
            masks[group_set] = layer.on.cpu().numpy()
    return masks


def _masked(vit: Vit, path: str) -> MaskedLinear:
    return cast(MaskedLinear, vit.get_submodule(path))
