"""Weight-sharing vision transformers, after AutoFormer, for each rank ratio and token count."""

from supernet.registry import register

__all__ = ["register"]
