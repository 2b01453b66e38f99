"""Pruning while a network trains: of heads, hidden units, rank components, blocks or weights."""
