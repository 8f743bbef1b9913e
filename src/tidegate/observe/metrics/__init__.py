"""What is measured: the table of metrics, the meter that counts, and the forms in which scrapers read it."""
