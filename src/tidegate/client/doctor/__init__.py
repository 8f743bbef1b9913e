"""Examines a deployment from outside: whether what stands in front of tidegate lets streams pass as they are.

`examination` makes the measurements side by side, and `findings`, which is pure, tells what they mean.
"""
