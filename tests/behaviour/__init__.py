"""Simulated people at work, and what goes wrong."""
