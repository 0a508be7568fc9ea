"""A public key to which the journal is sealed."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from cloister.spec.fields import cel, rules

RECIPIENT_PATTERN = (
    "^cloister-pub-("
    "mlkem768x25519:[A-Za-z0-9_-]{1000}[A-Za-z0-9_-]{621}[AQgw]"  # Go's regular expressions repeat 1000 times at most
    "|x25519:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
    ")$"
)
"""Public keys as `cloister keys generate` prints them: 1216 bytes (X-Wing's order: ML-KEM-768, then X25519) or 32,
base64url without padding (RFC 4648, section 5). What the last character may be follows from the length."""
MAX_RECIPIENT_LENGTH = 1650
POST_QUANTUM_PREFIX = "cloister-pub-mlkem768x25519:"

HOW_TO_MAKE_KEYS = (
    "make a pair of keys by `cloister keys generate`, and list the public one, which begins with cloister-pub-"
)


def _recipient(text: str) -> str:
    if not re.fullmatch(RECIPIENT_PATTERN, text) or text.endswith("\n"):
        raise PydanticCustomError("recipient", "is no public key for the journal: {how}", {"how": HOW_TO_MAKE_KEYS})
    return text


Recipient = Annotated[
    str,
    AfterValidator(_recipient),
    Field(
        min_length=1,
        max_length=MAX_RECIPIENT_LENGTH,
        json_schema_extra={
            "pattern": RECIPIENT_PATTERN,
            **rules(cel("self.startsWith('cloister-pub-')", f"no public key for the journal: {HOW_TO_MAKE_KEYS}")),
        },
    ),
]
"""A public key to which the journal is sealed (RFC 9180)."""
