"""Search of the space point and of the subnet under a budget, and training of the winner."""

import mcuformer  # noqa: F401  from here on, Ctrl-C during the imports is quiet
