"""Canaries on a network of this machine's, whose policies a test may break."""
