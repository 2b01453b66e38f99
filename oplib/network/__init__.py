"""Vision transformers as operator graphs: construction, weights and numpy references."""
