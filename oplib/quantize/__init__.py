"""From float to integers: calibration, lowering, and the quality of each quantised layer."""
