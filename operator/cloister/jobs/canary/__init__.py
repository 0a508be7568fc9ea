"""The canaries: one that listens, and one that tries what must pass and what must not. Standard library and models."""
