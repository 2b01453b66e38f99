"""A vision transformer as an operator graph: building it, its weights, the numpy references."""
