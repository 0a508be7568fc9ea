"""The exporter as it is rendered, and sinks that it tells."""
