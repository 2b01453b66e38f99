"""A component as a package of the systems in which microcontrollers are programmed."""
