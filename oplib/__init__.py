"""Integer operators, memory plans and firmware."""
