"""Cloister: zero trust for LLM deployments on Kubernetes."""

from importlib.metadata import version

__version__ = version("cloister")
