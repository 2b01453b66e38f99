"""Rewrites of the graph that save memory; each can be switched off."""
