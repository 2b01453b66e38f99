"""How a network is trained: optimiser, schedule, augmentation and teacher, all built by timm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mcuformer.errors import ConfigError
from mcuformer.limits import MAX_EPOCHS, BatchSize, Epochs, PathText, Rate, Steps
from mcuformer.value import Value
from supernet.timm_names import OptimizerName, RandAugment, SchedulerName, TimmModel

if TYPE_CHECKING:
    from timm.data import Mixup
    from timm.scheduler.scheduler import Scheduler
    from torch import nn
    from torch.optim import Optimizer

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class TimmTeacher(Value):
    """A trained timm network as teacher; it sees the same augmented images as the student.

    Args:
        model: name in timm's registry.
        checkpoint: local safetensors file with its weights.
        arguments: further arguments of ``timm.create_model``, for instance ``img_size``.
    """

    model: TimmModel
    checkpoint: PathText
    arguments: dict[str, int | float | bool | str] = Field(default_factory=dict)


class Distillation(Value):
    """Learning from a teacher's logits (Hinton et al., 2015).

    Args:
        teacher: ``largest``, the largest subnet of a supernet (the one that is trained; where a
            network is fine-tuned, that of its run or of `teacher_run`), or a timm network.
        weight: share of the teacher in the loss; the labels have the rest.
        temperature: T, which softens both logits; the teacher's loss is multiplied by T^2.
    """

    teacher: Literal["largest"] | TimmTeacher
    weight: Fraction = 0.5
    temperature: Annotated[float, Field(ge=0.01, le=1000.0)] = 1.0


class Recipe(Value):
    """A training recipe.

    Args:
        epochs: length of the schedule; a visit of the space search covers a part of it.
        batch_size: images per step, over all processes.
        optimizer: name known to timm's optimiser factory.
        scheduler: name known to timm's scheduler factory.
        lr: peak learning rate, reached after `warmup_epochs`.
        min_lr: learning rate at the end of the schedule.
        warmup_epochs: epochs in which the rate rises linearly from ``lr / 100``.
        weight_decay: decay of every parameter with two or more dimensions but the embeddings.
        label_smoothing: probability that is spread evenly over all classes.
        mixup: alpha of timm's Mixup; 0 is off.
        cutmix: alpha of timm's CutMix; 0 is off.
        hflip: mirror half of the images.
        crop_padding: largest shift of an image in pixels; padding fills the rest.
        resized_crop_scale: smallest share of the image that a random crop keeps; null is off.
        rand_augment: timm's specification, for instance ``rand-m9-mstd0.5-inc1``; null is off.
        random_erasing: share of images in which a rectangle becomes noise.
        drop_path_rate: stochastic depth of the deepest network's last block.
        ema_decay: decay of a running average of the weights, which is then evaluated and kept;
            null is off.
        distillation: teacher to learn from; null is none.
        fake_quant_epochs: number of final epochs in which linear layers compute with int8 values.
        precision: ``bf16`` runs the network under autocast.
        clip_grad: largest gradient norm; null is off.
        num_workers: number of processes that read and augment images while the network trains, of
            each process that trains; 0 is none, null is two where images are decoded or pass timm's
            transforms.
        checkpoint_steps: steps between two checkpoints.
        spike_factor: a loss above this multiple of its running mean, and above half of ln K with K
            classes, counts as a spike; null is off.
        max_rollbacks: how many times a training may go back to its last checkpoint after a spike
            or a loss that is not finite.
        rollback_lr: factor on the learning rate after each rollback.
    """

    without_effect: ClassVar[tuple[str, ...]] = ("checkpoint_steps", "num_workers")

    epochs: Epochs
    batch_size: BatchSize
    optimizer: OptimizerName = "adamw"
    scheduler: SchedulerName = "cosine"
    lr: Rate
    min_lr: Annotated[float, Field(ge=0.0, le=100.0)] = 1e-5
    warmup_epochs: Annotated[int, Field(ge=0, le=MAX_EPOCHS)] = 5
    weight_decay: Annotated[float, Field(ge=0.0, le=100.0)] = 0.05
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    mixup: Fraction = 0.0
    cutmix: Fraction = 0.0
    hflip: bool = False
    crop_padding: Annotated[int, Field(ge=0, le=256)] = 0
    resized_crop_scale: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    rand_augment: RandAugment | None = None
    random_erasing: Fraction = 0.0
    drop_path_rate: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    distillation: Distillation | None = None
    fake_quant_epochs: Annotated[int, Field(ge=0, le=MAX_EPOCHS)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    clip_grad: Annotated[float, Field(gt=0.0, le=1e6)] | None = 1.0
    num_workers: Annotated[int, Field(ge=0, le=256)] | None = None
    checkpoint_steps: Steps = 200
    spike_factor: Annotated[float, Field(gt=1.0, le=1e6)] | None = 5.0
    max_rollbacks: Annotated[int, Field(ge=0, le=100)] = 3
    rollback_lr: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        for name in ("warmup_epochs", "fake_quant_epochs"):
            if getattr(self, name) >= self.epochs:
                raise ValueError(f"{name} {getattr(self, name)} must be below epochs {self.epochs}")
        return self


def check_batch_size(recipe: Recipe, images: int, where: str = "recipe") -> None:
    """Refuse a batch that is larger than the data set.

    Args:
        recipe: its batch size is checked.
        images: number of images that are trained on.
        where: path of the recipe in the configuration.

    Raises:
        ConfigError: with the number of images.
    """
    if recipe.batch_size > images:
        raise ConfigError(
            "a batch is larger than the set that is trained on",
            where=f"{where}.batch_size",
            got=recipe.batch_size,
            expected=f"at most {images}",
        )


def build_optimizer(recipe: Recipe, model: nn.Module) -> Optimizer:
    """Build the optimiser; 1-D parameters and the model's `no_weight_decay` are not decayed."""
    from timm.optim import create_optimizer_v2

    return create_optimizer_v2(
        model, opt=recipe.optimizer, lr=recipe.lr, weight_decay=recipe.weight_decay
    )


def build_scheduler(recipe: Recipe, optimizer: Optimizer, steps_per_epoch: int) -> Scheduler:
    """Build the schedule; ``step_update(step)`` sets the rate of a step counted from the start."""
    from timm.scheduler import create_scheduler_v2

    scheduler: Scheduler = create_scheduler_v2(
        optimizer,
        sched=recipe.scheduler,
        num_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        warmup_lr=recipe.lr / 100,
        warmup_prefix=True,
        min_lr=recipe.min_lr,
        step_on_epochs=False,
        updates_per_epoch=steps_per_epoch,
    )[0]
    return scheduler


def build_mixup(recipe: Recipe, num_classes: int) -> Mixup | None:
    """Build timm's Mixup and CutMix, or return None if both are off."""
    if recipe.mixup == 0.0 and recipe.cutmix == 0.0:
        return None
    from timm.data import Mixup

    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        label_smoothing=recipe.label_smoothing,
        num_classes=num_classes,
    )
