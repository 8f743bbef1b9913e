"""Traces, metrics and logs by OTLP over HTTP. Imported only where `observability.otlp_endpoint` is set."""
