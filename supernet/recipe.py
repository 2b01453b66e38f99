"""How a network is trained: optimiser, schedule and mixing, all timm's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from mcuformer.errors import ConfigError
from mcuformer.subnet import PositiveInt
from mcuformer.value import Value

if TYPE_CHECKING:
    from timm.data import Mixup
    from torch import nn
    from torch.optim import Optimizer

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Recipe(Value):
    """A training recipe.

    Args:
        epochs: horizon of the schedule; a visit of the space search covers a part of it.
        optimizer: a name that timm's optimiser factory knows.
        lr: peak rate, reached after `warmup_epochs`, then cosine down to `min_lr`.
        mixup, cutmix: alpha of timm's Mixup; 0 is off.
        clip_grad: largest gradient norm; null is off.
        checkpoint_epochs: epochs between two checkpoints.
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    optimizer: str = "adamw"
    lr: Annotated[float, Field(gt=0.0)]
    min_lr: Annotated[float, Field(ge=0.0)] = 1e-5
    warmup_epochs: Annotated[int, Field(ge=0)] = 5
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.05
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    mixup: Fraction = 0.0
    cutmix: Fraction = 0.0
    clip_grad: Annotated[float, Field(gt=0.0)] | None = 1.0
    checkpoint_epochs: PositiveInt = 5

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs} must be below epochs {self.epochs}"
            )
        return self


def build_optimizer(recipe: Recipe, model: nn.Module) -> Optimizer:
    """Build the optimiser; 1-D parameters and those the model names are not decayed.

    Raises:
        ConfigError: timm knows no such optimiser.
    """
    from timm.optim import create_optimizer_v2, list_optimizers

    if recipe.optimizer not in list_optimizers():
        raise ConfigError(
            "no optimiser of timm",
            where="recipe.optimizer",
            got=recipe.optimizer,
            expected="one of timm.optim.list_optimizers(), for instance adamw",
        )
    return create_optimizer_v2(
        model, opt=recipe.optimizer, lr=recipe.lr, weight_decay=recipe.weight_decay
    )


def build_scheduler(recipe: Recipe, optimizer: Optimizer, steps_per_epoch: int) -> Any:
    """Build the schedule; ``step_update(step)`` sets the rate of a global step."""
    from timm.scheduler import create_scheduler_v2

    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        warmup_lr=recipe.lr / 100,
        warmup_prefix=True,
        min_lr=recipe.min_lr,
        step_on_epochs=False,
        updates_per_epoch=steps_per_epoch,
    )
    return scheduler


def build_mixup(recipe: Recipe, num_classes: int) -> Mixup | None:
    """Build timm's Mixup / CutMix, or None where both are off."""
    if recipe.mixup == 0.0 and recipe.cutmix == 0.0:
        return None
    from timm.data import Mixup

    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        label_smoothing=recipe.label_smoothing,
        num_classes=num_classes,
    )
