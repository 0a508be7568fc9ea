"""The documents by which masking is measured."""

import random

from faker import Faker

from cloister.masking import Kind
from tests.bench.masking.documents import documents
from tests.bench.masking.sentences import filled


def test_values_are_where_they_are_said_to_be() -> None:
    template = "Mail {{email}} of {{person}}, {{age}}, or call {{phone_number}}: {{iban}}."
    document = filled(template, [Faker("en_US")], random.Random(1))
    found = {kind: document.text[start:stop] for start, stop, kind in document.values}
    assert set(found) == {"email", "phone", "iban"}
    rest = template.replace("{{email}}", found["email"]).replace("{{phone_number}}", found["phone"])
    before, _, after = rest.replace("{{iban}}", found["iban"]).partition("{{person}}, {{age}}")
    assert document.text.startswith(before)
    assert document.text.endswith(after)
    assert "{" not in document.text


def test_every_kind_is_asked_for_and_the_seed_decides() -> None:
    found = documents(300, 7)
    assert {kind for one in found for _, _, kind in one.values} == set(Kind)
    assert found == documents(300, 7)
