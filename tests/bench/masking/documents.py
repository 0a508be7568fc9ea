"""Documents with values in known places, as people write them, and with what only looks like one."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from faker import Faker

from cloister.masking import Kind

LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL")
_TEMPLATES = (
    "Hi {name}, you can reach me at {email} or call {phone} after five.",
    "Please charge {card} and send the invoice to {email}.",
    "Account holder {name}, IBAN {iban}, reference {order}.",
    "{date} login of {name} from {ip} failed, request {uuid}.",
    "My social is {ssn}; the old file said {order}.",
    "export API_KEY={secret}",
    '{{"user": "{email}", "ip": "{ip}", "card": "{card}", "took": {decimal} }}',
    "| {name} | {phone} | {iban} |",
    "Version {version} was released on {date}, build {hex}; {order} downloads.",
    "Transfer to {iban} by {date}, amount {decimal} EUR.",
    "{sentence} Contact: {email}, {phone}. {sentence}",
    "{sentence} {order} {uuid} {decimal} {version} {badcard}.",
    "token: {secret} (rotate by {date})",
    "Dial {phone}, then {order}#. {sentence}",
    "{sentence}",
)


@dataclass(frozen=True)
class Document:
    """A text, and every value in it: (start, stop, kind), in characters."""

    text: str
    values: tuple[tuple[int, int, str], ...]


def documents(count: int, seed: int) -> list[Document]:
    """The same ones for the same seed."""
    return list(_documents(count, seed))


def _documents(count: int, seed: int) -> Iterator[Document]:
    source = random.Random(seed)
    fakers = [Faker(locale) for locale in LOCALES]
    for number, fake in enumerate(fakers):
        fake.seed_instance(seed + number)
    for _ in range(count):
        fake = source.choice(fakers)
        yield _filled(source.choice(_TEMPLATES), fake, source)


def _filled(template: str, fake: Any, source: random.Random) -> Document:
    text, values = "", []
    for piece in template.replace("{{", "\0").replace("}}", "\1").replace("{", "\2{").replace("}", "}\2").split("\2"):
        if not piece.startswith("{"):
            text += piece.replace("\0", "{").replace("\1", "}")
            continue
        name = piece[1:-1]
        value = str(MAKERS[name](fake, source))
        if name in set(Kind):
            values.append((len(text), len(text) + len(value), name))
        text += value
    return Document(text, tuple(values))


def _grouped(text: str, source: random.Random, size: int = 4) -> str:
    separator = source.choice(["", " ", "-"]) if text.isdigit() else source.choice(["", " "])
    return separator.join(text[at : at + size] for at in range(0, len(text), size))


def _card(fake: Any, source: random.Random) -> str:
    number: str = fake.credit_card_number(source.choice(["visa16", "mastercard", "amex", "discover"]))
    return number if len(number) != 16 else _grouped(number, source)


def _bad_card(fake: Any, source: random.Random) -> str:
    number = str(fake.credit_card_number("visa16"))
    return number[:-1] + str((int(number[-1]) + 1) % 10)


def _secret(fake: Any, source: random.Random) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    forms = (("ghp_", 36), ("sk-proj-", 40), ("AKIA", 0), ("xoxb-", 24), ("glpat-", 20), ("hf_", 34))
    prefix, size = source.choice(forms)
    if prefix == "AKIA":
        return prefix + "".join(source.choices(alphabet[:26] + "234567", k=16))
    return prefix + "".join(source.choices(alphabet, k=size))


MAKERS: dict[str, Callable[[Any, random.Random], Any]] = {
    "email": lambda fake, source: fake.email(),
    "phone": lambda fake, source: fake.phone_number(),
    "card": _card,
    "iban": lambda fake, source: _grouped(fake.iban(), source),
    "ssn": lambda fake, source: _ssn(source),
    "ip": lambda fake, source: fake.ipv4() if source.random() < 0.7 else fake.ipv6(),
    "secret": _secret,
    "name": lambda fake, source: fake.name(),
    "date": lambda fake, source: fake.date(),
    "order": lambda fake, source: source.randint(1000, 9_999_999_999),
    "uuid": lambda fake, source: fake.uuid4(),
    "decimal": lambda fake, source: f"{source.uniform(0, 9999):.2f}",
    "version": lambda fake, source: f"{source.randint(0, 30)}.{source.randint(0, 99)}.{source.randint(0, 9)}",
    "hex": lambda fake, source: f"{source.getrandbits(128):032x}",
    "sentence": lambda fake, source: fake.sentence(),
    "badcard": _bad_card,
}
"""What stands in a template's braces -> how it is made."""


def _ssn(source: random.Random) -> str:
    area = source.choice([number for number in range(1, 900) if number != 666])
    return f"{area:03}-{source.randint(1, 99):02}-{source.randint(1, 9999):04}"
