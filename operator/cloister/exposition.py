"""Figures in the text format that Prometheus reads (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposed(collector: Collector) -> Callable[[], bytes]:
    """Its figures whenever they are asked for; nothing about the process itself."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return lambda: generate_latest(registry)
