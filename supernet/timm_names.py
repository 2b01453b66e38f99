"""Names and texts that timm understands, checked when a configuration is parsed.

Importing timm takes seconds, so the names that timm has in every version are known here, and only
another one asks timm itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mcuformer.errors import did_you_mean

COMMON_OPTIMIZERS = ("adam", "adamw", "lamb", "lion", "nadamw", "rmsprop", "sgd")
MAX_NAME = 200
SECTION = (
    re.compile(  # of timm.data.auto_augment.rand_augment_transform, which skips what it misses
        r"(?P<integer>m|n|mmax|inc)(?P<count>\d+)|(mstd|p)(\d+(\.\d*)?)|tweights"
    )
)
LARGEST = {"m": 10, "n": 16, "mmax": 10, "inc": 1}


def _known(name: str, kind: str, names: Iterable[str]) -> str:
    names = list(names)
    if name not in names:
        raise ValueError(f"timm has no such {kind}{did_you_mean(name, names)}")
    return name


def _optimizer(name: str) -> str:
    if name in COMMON_OPTIMIZERS:
        return name
    from timm.optim import list_optimizers

    return _known(name, "optimiser", map(str, list_optimizers()))


def _model(name: str) -> str:
    import timm

    return _known(name, "model", map(str, timm.list_models()))


def _rand_augment(text: str) -> str:
    head, *sections = text.split("-")
    if head != "rand":
        raise ValueError("not a RandAugment of timm's, expected for instance rand-m9-mstd0.5-inc1")
    for section in sections:
        match = SECTION.fullmatch(section)
        if match is None:
            raise ValueError(
                f"RandAugment has no section {section!r}; expected m, n, p, mstd, mmax or inc"
            )
        kind = match["integer"]
        if kind is not None and int(match["count"]) > LARGEST[kind]:
            raise ValueError(
                f"RandAugment's {section} is too large, expected at most {LARGEST[kind]}"
            )
    return text


SchedulerName = Literal["cosine", "tanh", "step", "multistep", "poly"]
Name = Annotated[str, Field(max_length=MAX_NAME)]
OptimizerName = Annotated[Name, AfterValidator(_optimizer)]
TimmModel = Annotated[Name, AfterValidator(_model)]
RandAugment = Annotated[Name, AfterValidator(_rand_augment)]
