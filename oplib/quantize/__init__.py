"""From float to integers: calibration, lowering, and how well each layer survives."""
