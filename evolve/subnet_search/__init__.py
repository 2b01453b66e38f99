"""Methods that search subnets inside one space point."""
