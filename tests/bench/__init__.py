"""Benchmarks: `make bench-*`. Figures are compared within one run of one machine; tests never time anything."""
