"""What operators see: occurrences, gauges and logs."""
