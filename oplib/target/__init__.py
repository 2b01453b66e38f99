"""Where a firmware runs: on this computer, in an emulator, on a board's memory map."""
