"""Fixtures of every test against a real API server."""

from tests.cluster.fixtures import cluster, control_plane, start_control_plane

__all__ = ["cluster", "control_plane", "start_control_plane"]
