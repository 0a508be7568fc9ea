"""The operator against a real API server and real cert-manager, under its own identity."""
