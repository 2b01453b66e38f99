"""Distillation: teachers that give logits for a batch, and the loss of their student."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.errors import ConfigError
from mcuformer.run.artifact import file_digest, load_arrays
from supernet.model import Supernet
from supernet.recipe import Distillation, TimmTeacher

Teacher = Callable[[Tensor], Tensor]


def distilled_loss(loss: Tensor, logits: Tensor, teacher: Tensor, settings: Distillation) -> Tensor:
    """Return ``(1 - w) loss + w T^2 KL(softmax(teacher / T) || softmax(logits / T))``.

    Softening by T shrinks gradients by about 1 / T^2, which the factor T^2 makes up for (Hinton et
    al., 2015, section 2).

    Args:
        loss: the student's loss on the labels, a scalar.
        logits: the student's logits, (B, K).
        teacher: the teacher's logits, (B, K); no gradient flows into them.
        settings: weight w and temperature T.

    Returns:
        A scalar.
    """
    temperature = settings.temperature
    distance = functional.kl_div(
        functional.log_softmax(logits / temperature, dim=1),
        functional.log_softmax(teacher.detach() / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - settings.weight) * loss + settings.weight * temperature**2 * distance


def build_teacher(
    settings: Distillation, source: nn.Module, num_classes: int, in_chans: int
) -> Teacher:
    """Build the teacher of a training: a function of images (B, C, H, W) that returns logits.

    Args:
        settings: which teacher.
        source: the teacher ``largest`` is the largest subnet of this supernet, which is the student
            itself or another one.
        num_classes: number of classes K.
        in_chans: channels C of an image.

    Raises:
        ConfigError: timm cannot build the network or load its weights, or ``largest`` is asked of
            a network that is not a supernet.
    """
    if isinstance(settings.teacher, TimmTeacher):
        return _timm_teacher(settings.teacher, num_classes, in_chans)
    if not isinstance(source, Supernet):
        raise ConfigError(
            "only a supernet has a largest subnet", where="recipe.distillation.teacher"
        )
    supernet = source

    @torch.no_grad()
    def largest(images: Tensor) -> Tensor:
        training = supernet.training
        supernet.eval()
        logits: Tensor = supernet(images, supernet.largest)
        supernet.train(training)
        return logits

    return largest


def _timm_teacher(settings: TimmTeacher, num_classes: int, in_chans: int) -> Teacher:
    import timm

    arguments: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_chans}
    weights = load_arrays(Path(settings.checkpoint))
    try:
        network = timm.create_model(settings.model, **arguments | settings.arguments)
        network.load_state_dict({name: torch.from_numpy(a) for name, a in weights.items()})
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"no teacher: {error}", where="recipe.distillation.teacher", got=settings.model
        ) from error
    network.eval()

    @torch.no_grad()
    def teach(images: Tensor) -> Tensor:
        logits: Tensor = network.to(images.device)(images)
        return logits

    return teach


def teacher_identity(settings: Distillation | None) -> str | None:
    """Return the digest of a timm teacher's weights, which its settings only name; else None."""
    if settings is None or not isinstance(settings.teacher, TimmTeacher):
        return None
    return file_digest(Path(settings.teacher.checkpoint))
