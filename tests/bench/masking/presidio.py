"""Microsoft Presidio's analyzer over a list of texts, in an environment of its own: it is no dependency of the project.

Without a language model, which is not on PyPI: spaCy's blank English pipeline tokenizes, and Presidio's own recognizers
for the kinds that are compared need no more (patterns, check digits, phonenumbers, context words).
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.catalogue import cache_root

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
    asked = json.dumps({"texts": texts, "entities": list(ENTITIES)})
    done = subprocess.run([_environment(), "-c", _WORK], input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Presidio failed:\n{done.stderr[-3000:]}")
    answer = json.loads(done.stdout)
    return [[(start, stop, ENTITIES[kind]) for start, stop, kind in one] for one in answer["found"]], answer["cpu"]


def version() -> str:
    """The pinned version."""
    lines = REQUIREMENTS.read_text().splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith("presidio-analyzer=="))


def _environment() -> Path:
    home = cache_root().parent / f"presidio-{version()}"
    python = home / "bin" / "python"
    if not (home / ".complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        uv = shutil.which("uv") or str(max(cache_root().parent.glob("uv-*/bin/uv")))
        for command in (
            [uv, "venv", "--quiet", "--python", sys.executable, str(home)],
            [uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", str(REQUIREMENTS)],
        ):
            subprocess.run(command, check=True)
        (home / ".complete").touch()
    return python
