"""Weight-sharing vision transformers over rank ratio and token count, after AutoFormer."""

from supernet.registry import register

__all__ = ["register"]
