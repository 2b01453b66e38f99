"""All evaluators, by the names of their configurations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evolve.evaluation.inherited import InheritedConfig
from evolve.evaluation.predictor import PredictorConfig
from evolve.evaluation.trained import FinetunedConfig, ScratchConfig

EvaluatorConfig = Annotated[
    InheritedConfig | FinetunedConfig | ScratchConfig | PredictorConfig,
    Field(discriminator="name"),
]
