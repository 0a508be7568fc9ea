"""What a program of ours tells of itself, by whatever server: whether it can work, and its figures."""

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
HOST = "0.0.0.0"  # noqa: S104 - the pod's own address; network policies say who reaches it

Unready = Callable[[], str | None]
"""Why it can't do its work; None when it can."""


def standing(reason: str | None) -> tuple[int, str]:
    """Status and text of an answer: 200, or 503 with the reason why not."""
    return (503 if reason else 200), f"{reason or 'ok'}\n"


def exposed(collector: Collector) -> Callable[[], bytes]:
    """Its figures whenever they are asked for, and nothing about the process itself, in the text format that Prometheus
    reads (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return lambda: generate_latest(registry)
