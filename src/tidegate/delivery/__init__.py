"""Delivering events: pumps what readers yield into their connections."""
