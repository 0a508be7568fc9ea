"""The keys of identity providers that the operator fetches itself, and fetches again."""

import asyncio
import random
import time
from dataclasses import dataclass, replace

import structlog

from cloister.controller import jwks, metrics
from cloister.controller.followed import Tell
from cloister.controller.oidc import IssuerError, Trust, fetch_jwks

log = structlog.get_logger(__name__)

_PATIENCE = 3
"""So many failures in a row are told while keys are known: the first retries come after a second or two."""
_JITTER = 0.1


@dataclass(frozen=True)
class Answer:
    """What is known of an issuer's keys."""

    keys: jwks.KeySet | None = None
    """The last that it answered."""
    problem: str | None = None
    """Why it could not be asked again."""


async def follow(issuer: str, tell: Tell[Answer], trust: Trust, refresh_seconds: float) -> None:
    """Tell an issuer's keys, for ever. A failure takes nothing away from what is known, and is soon tried again."""
    known, failures = Answer(), 0
    while True:
        try:
            keys = jwks.read(await fetch_jwks(issuer, trust))
        except (IssuerError, jwks.NoJwksError) as error:
            failures += 1
            metrics.JWKS_FAILURES.labels(issuer).inc()
            log.warning("keys not fetched", issuer=issuer, error=str(error), failures=failures)
            if known.keys is None or failures >= _PATIENCE:
                known = replace(known, problem=str(error))
            delay = min(2.0 ** (failures - 1), refresh_seconds)
        else:
            if known.keys != keys:
                log.info("keys fetched", issuer=issuer)
            failures, known = 0, Answer(keys)
            metrics.JWKS_FETCHED.labels(issuer).set(time.time())
            delay = refresh_seconds
        if known != Answer():
            tell(known)
        await asyncio.sleep(delay * (1 + random.uniform(-_JITTER, _JITTER)))  # noqa: S311 - no secret
