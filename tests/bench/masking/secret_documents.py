"""Documents with secrets in known places, from three sources that have nothing to do with each other.

`forms` are the documents of the other figures; `credentials` are passwords and keys as Faker makes them, in lines as
people write them down, among lines that only look like it; `gitleaks` are strings drawn from gitleaks' own expressions,
which no rule of Cloister was written after.
"""

import base64
import json
import random
from collections.abc import Iterator

from faker import Faker

from tests.bench.masking import gitleaks
from tests.bench.masking.detect_secrets import samples
from tests.bench.masking.documents import Document, documents

EACH = 4
"""Strings of each of gitleaks' expressions."""
_LEFT_OUT = ("generic-api-key", "private-key", "jwt", "jwt-base64", "curl-auth-user", "curl-auth-header")
"""They have no form of their own, or need several lines around them."""
_LINES = (
    "DB_PASSWORD={0}",
    'password = "{0}"',
    '{{"client_secret": "{0}", "retries": 3}}',
    "api_key: {0}",
    "postgres://app:{0}@db.internal:5432/orders",
    "The passphrase: {0}",
    "Authorization: Bearer {0}",
    "export AWS_SECRET_ACCESS_KEY={0}",
)
_HARMLESS = (
    "password: see the vault, folder {word}",
    "commit {hex} by {name}",
    "sha256:{hex}{hex}",
    "request {uuid} took {number} ms",
    'api_key = os.environ["API_KEY"]',
    "token_type: bearer",
    "The secret of a good {word} is patience.",
    "def get_secret(name: str) -> str: ...",
    "integrity sha512-{base64}==",
    "{sentence}",
)


def by_source(count: int, seed: int) -> dict[str, list[Document]]:
    """Documents of each source; the values are secrets alone."""
    forms = [
        Document(one.text, tuple(value for value in one.values if value[2] == "secret"))
        for one in documents(count, seed)
    ]
    return {"forms": forms, "credentials": list(_credentials(count // 4, seed)), "gitleaks": list(_sampled(seed))}


def _credentials(count: int, seed: int) -> Iterator[Document]:
    source, fake = random.Random(seed), Faker("en_US")
    fake.seed_instance(seed)
    for number in range(count):
        if number % 2:
            yield Document(_harmless(fake, source), ())
        elif number % 16 == 0:
            header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).decode().rstrip("=")
            payload = base64.urlsafe_b64encode(json.dumps({"sub": fake.user_name()}).encode()).decode().rstrip("=")
            yield _around("session={0}; path=/", f"{header}.{payload}.{_random(source, 43)}")
        elif number % 16 == 8:
            body = "\n".join(_random(source, 64) for _ in range(12))
            yield _around("{0}\n", f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----")
        else:
            line = source.choice(_LINES)
            secret = _random(source, 40) if "Bearer" in line or "AWS" in line else _password(fake, source)
            yield _around(line, secret)


def _sampled(seed: int) -> Iterator[Document]:
    rules = [rule for rule in gitleaks.rules() if rule["id"] not in _LEFT_OUT]
    fake = Faker("en_US")
    fake.seed_instance(seed)
    for rule, found in zip(rules, samples([rule["regex"] for rule in rules], EACH, seed), strict=True):
        for text in found:
            before = f"{fake.sentence()} "
            whole = f"{before}{text.strip()}\n{fake.sentence()}"
            match = rule["compiled"].search(whole)
            if match and text.isascii() and text.isprintable():
                start, stop = gitleaks.secret(rule, match) or (0, 0)
                yield Document(whole, ((start, stop, "secret"),) if stop else ())


def _around(line: str, secret: str) -> Document:
    text = line.format(secret)
    at = text.index(secret)
    return Document(text, ((at, at + len(secret), "secret"),))


def _harmless(fake: Faker, source: random.Random) -> str:
    return source.choice(_HARMLESS).format(
        word=fake.word(),
        hex=f"{source.getrandbits(160):040x}",
        name=fake.name(),
        uuid=fake.uuid4(),
        number=source.randint(1, 9999),
        base64=_random(source, 86),
        sentence=fake.sentence(),
    )


def _password(fake: Faker, source: random.Random) -> str:
    return str(fake.password(length=source.randint(10, 24), special_chars=source.random() < 0.5)).replace('"', "x")


def _random(source: random.Random, size: int) -> str:
    return "".join(source.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k=size))
