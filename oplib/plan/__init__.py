"""What runs in which order and where: schedules, memory plans, their proof and their costs."""
