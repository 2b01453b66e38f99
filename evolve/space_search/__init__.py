"""Ways to choose a space point, behind one interface; each writes the same ``space.json``."""
