"""The operators: shape rule, float and integer reference, lowering, scratch, work, C call."""
