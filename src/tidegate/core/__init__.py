"""The pure core: no I/O, no clock, no randomness; both are passed in."""
