"""Schedules and memory plans: order and place of every call, their proof and their costs."""
