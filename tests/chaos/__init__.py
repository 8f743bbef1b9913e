"""The chaos harness: seeded runs of a real server under faults, and a checker of what its clients saw."""
