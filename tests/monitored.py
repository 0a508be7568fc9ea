"""What alert rules and dashboards ask for, and what a program tells Prometheus."""

import re

from cloister.monitoring import dashboard
from cloister.monitoring.rules import ALERTS


def used(prefix: str) -> set[str]:
    """Names of metrics with this prefix that are asked for."""
    texts = [alert.expression for alert in ALERTS]
    texts += [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return {name for text in texts for name in re.findall(rf"\b{prefix}\w+", re.sub(r"{[^}]*}", "", text))}


def told(text: str) -> set[str]:
    """Names of samples and of families, also of those without a sample yet."""
    return {re.split(r"[{ ]", line.removeprefix("# TYPE "))[0] for line in text.splitlines() if line}


def assert_told(names: set[str], text: str) -> None:
    """A counter without a sample shows its family alone."""
    assert names
    families = told(text)
    assert {name for name in names if not families & {name, name.removesuffix("_bucket")}} == set()
