"""Microsoft Presidio's analyzer over a list of texts, in an environment of its own: it is no dependency of the project.

Without a language model, which is not on PyPI: spaCy's blank English pipeline tokenizes, and Presidio's own recognizers
for the kinds that are compared need no more (patterns, check digits, phonenumbers, context words).
"""

from pathlib import Path

from tests.environments import answered, environment, pinned

REQUIREMENTS = Path(__file__).with_name("presidio.txt")
"""Every package of the environment, by version: `uv pip compile --universal` of `presidio-analyzer`."""
ENTITIES = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
    "IP_ADDRESS": "ip",
}
_WORK = """
import json, sys, time
import spacy
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine

class Blank(SpacyNlpEngine):
    def __init__(self):
        super().__init__()
        self.nlp = {"en": spacy.blank("en")}

    def load(self):
        pass

asked = json.load(sys.stdin)
engine = AnalyzerEngine(nlp_engine=Blank(), supported_languages=["en"])
engine.analyze("warm up a@example.com", "en", entities=asked["entities"])
began = time.process_time()
found = [
    [[r.start, r.end, r.entity_type] for r in engine.analyze(text, "en", entities=asked["entities"])]
    for text in asked["texts"]
]
json.dump({"found": found, "cpu": time.process_time() - began}, sys.stdout)
"""


def analyze(texts: list[str]) -> tuple[list[list[tuple[int, int, str]]], float]:
    """What it finds in each text, as (start, stop, kind) in characters, and the CPU seconds that it took."""
    given = {"texts": texts, "entities": list(ENTITIES)}
    answer = answered(environment("presidio", REQUIREMENTS), _WORK, given)
    return [[(start, stop, ENTITIES[kind]) for start, stop, kind in one] for one in answer["found"]], answer["cpu"]


def version() -> str:
    """The pinned version."""
    return pinned(REQUIREMENTS, "presidio-analyzer")
