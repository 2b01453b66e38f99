"""Selectors of a space point, with one interface."""
