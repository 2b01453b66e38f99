"""Where firmware runs: on this computer, in an emulator, on the memory map of a board."""
