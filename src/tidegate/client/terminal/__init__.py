"""The clients of the command line: what they show in a terminal, and in a pipe."""
