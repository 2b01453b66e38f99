"""Data sets as numpy arrays: readers, preprocessing, splits."""
