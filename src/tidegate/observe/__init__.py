"""What the people who run tidegate get to see."""
