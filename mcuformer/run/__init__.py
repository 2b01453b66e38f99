"""How a command runs: configuration, run directory, artefacts, progress."""
