"""Integer operators, memory plans and firmware."""

import mcuformer  # noqa: F401  from here on, Ctrl-C during the imports is quiet
