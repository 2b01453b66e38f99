"""Search of subnets inside one space point."""
