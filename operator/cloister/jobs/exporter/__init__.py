"""The exporter: reads what is journalled, and tells declared systems of it (docs/adr/0028)."""
