"""Torch's module containers with typed members; at run time they are torch's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)
ModuleT_contra = TypeVar("ModuleT_contra", bound=nn.Module, contravariant=True)


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
