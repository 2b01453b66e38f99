"""Weight-sharing vision transformers, after AutoFormer, for each rank ratio and token count."""

import mcuformer  # noqa: F401  from here on, Ctrl-C during the imports is quiet
from supernet.registry import register

__all__ = ["register"]
