"""Documents from the sentences of presidio-evaluator (MIT), by which Presidio's own developers judge their recognizers.

Only its list of templates is read. None of Cloister's expressions was written after it.
"""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faker import Faker

from tests.bench.masking.documents import LOCALES, MAKERS, Document
from tests.environments import contents

_REQUIREMENTS = Path(__file__).with_name("templates.txt")
_FILE = "presidio_evaluator/data_generator/raw_data/templates.txt"
_FIELD = re.compile(r"\{\{([a-z_]+)\}\}")
_KINDS = {
    "credit_card_number": "card",
    "phone_number": "phone",
    "email": "email",
    "iban": "iban",
    "ssn": "ssn",
    "ip_address": "ip",
}
_OTHERS: dict[str, Callable[[Any], Any]] = {
    "age": lambda fake: fake.random_int(18, 99),
    "nation_plural": lambda fake: fake.country(),
    "nation_woman": lambda fake: fake.country(),
    "nationality": lambda fake: fake.country(),
    "organization": lambda fake: fake.company(),
    "person": lambda fake: fake.name(),
    "us_driver_license": lambda fake: fake.bothify("?#######"),
}
"""What Faker knows by another name, or not at all."""


def sentences(count: int, seed: int) -> list[Document]:
    """The same ones for the same seed."""
    text = (contents(_REQUIREMENTS, "presidio-evaluator") / _FILE).read_text("utf-8", "replace")
    templates = [line for line in text.splitlines() if line.strip()]
    source = random.Random(seed)
    fakers = [Faker(locale) for locale in LOCALES]
    for number, fake in enumerate(fakers):
        fake.seed_instance(seed + number)
    return [filled(source.choice(templates), fakers, source) for _ in range(count)]


def filled(template: str, fakers: list[Any], source: random.Random) -> Document:
    """A template with values; those of our kinds are of any locale, the rest of the first."""
    text, values = "", []
    for piece, field in _pieces(template):
        text += piece
        if field in _KINDS:
            kind = _KINDS[field]
            value = str(MAKERS[kind](source.choice(fakers), source))
            values.append((len(text), len(text) + len(value), kind))
        elif field:
            value = str(_OTHERS[field](fakers[0]) if field in _OTHERS else getattr(fakers[0], field)())
        else:
            value = ""
        text += value
    return Document(text, tuple(values))


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    """Text, and the field after it."""
    parts = [*_FIELD.split(template), ""]
    return zip(parts[::2], parts[1::2], strict=True)
