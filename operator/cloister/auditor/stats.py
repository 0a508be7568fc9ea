"""What the auditor counts. Plain numbers, turned into metrics when Prometheus asks: counting must cost nothing."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Stats:
    """Since the program began."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """API, status of the answer."""
    refusals: Counter[str] = field(default_factory=Counter)
    """By the code that the caller was given."""
    flagged: int = 0
    """Requests outside their API's schema that were let through because `guard.schema` is Flag."""
    bytes_in: int = 0
    bytes_out: int = 0
    events: int = 0
    """Records of parts of streams."""
    cancelled: int = 0
    """Callers who went away before the end."""
    tokens_in: Counter[str] = field(default_factory=Counter)
    """Model -> tokens, as the model server counted them."""
    tokens_out: Counter[str] = field(default_factory=Counter)
    segments_shipped: int = 0
    shipping_failures: int = 0
    unshipped: int = 0
    """Sealed segments that wait."""
