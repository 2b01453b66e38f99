"""Search of the space point and of the subnet under a budget, and training of the winner."""
