"""Stochastic depth, and torch's module containers with typed members, at run time torch's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)
ModuleT_contra = TypeVar("ModuleT_contra", bound=nn.Module, contravariant=True)


def drop_branch(branch: Tensor, drop_prob: float, training: bool) -> Tensor:
    """Drop a residual branch of some images in training (stochastic depth, Huang et al., 2016).

    Args:
        branch: output of the branch, (B, N, D).
        drop_prob: probability with which the branch of an image becomes zero.
        training: whether branches are dropped at all.
    """
    if drop_prob == 0.0 or not training:
        return branch
    from timm.layers import drop_path  # its import takes as long as torch's

    dropped: Tensor = drop_path(branch, drop_prob, training)
    return dropped


class TypedModuleList(nn.ModuleList, Generic[ModuleT]):
    """A list of modules of one type."""

    if TYPE_CHECKING:

        def __init__(self, modules: Iterable[ModuleT]) -> None: ...
        def __iter__(self) -> Iterator[ModuleT]: ...
        def __getitem__(self, idx: int) -> ModuleT: ...  # type: ignore[override] # no slices


class TypedModuleDict(nn.ModuleDict, Generic[ModuleT]):
    """Modules of one type by name."""

    if TYPE_CHECKING:

        def __init__(self, modules: Mapping[str, ModuleT]) -> None: ...
        def __getitem__(self, key: str) -> ModuleT: ...
        def values(self) -> ValuesView[ModuleT]:
            """Return the modules."""
