"""Alert rules and a dashboard for Prometheus and Grafana, as data: the chart's copies are generated from it."""

from cloister.monitoring.dashboard import dashboard
from cloister.monitoring.rules import rules

__all__ = ["dashboard", "rules"]
