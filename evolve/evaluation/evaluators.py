"""All evaluators, by the names of their configurations."""

from __future__ import annotations

from evolve.evaluation.inherited import InheritedConfig

EvaluatorConfig = InheritedConfig
