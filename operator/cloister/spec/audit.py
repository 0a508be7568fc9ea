"""`spec.audit`: what is recorded, and for whom."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import ConfigDict, Field

from cloister.spec.export import ONE_HOLDER, Export
from cloister.spec.fields import Content, Model, cel, rules
from cloister.spec.recipient import Recipient

MAX_RECIPIENTS = 16
"""Of one journal (cloister.sealing.recipients)."""
_ONE_PLACE_LESS = f"a journal is sealed for {MAX_RECIPIENTS} keys at most, and with an export its key is one of them"


class Audit(Model):
    """What is recorded, and for whom. A journal that nobody can open is no record, so its readers are required."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("!has(self.export) || !(self.export.publicKey in self.recipients)", f"export.publicKey {ONE_HOLDER}"),
            cel(f"!has(self.export) || size(self.recipients) < {MAX_RECIPIENTS}", f"recipients: {_ONE_PLACE_LESS}"),
        )
    )

    content: Content = Field(
        Content.REDACTED,
        description="How much of prompts and replies is kept. None: sizes and verdicts only. Hash: a keyed digest."
        " Redacted: the text, with sensitive values masked. Full: all of it.",
    )
    recipients: Annotated[tuple[Recipient, ...], Field(min_length=1, max_length=MAX_RECIPIENTS)] = Field(
        description="Public keys of those who may open the journal, as `cloister keys generate` prints them. Nobody"
        " else can, not even the pods that write it.",
    )
    on_failure: Annotated[str, Field(pattern="^Block$", max_length=5)] = Field(
        "Block", description="No record, no answer: there is nothing else to choose."
    )
    export: Export | None = Field(None, description="What is told besides being kept, and to whom.")

    def sealed_for(self) -> tuple[str, ...]:
        """Every key that opens the journal: its recipients', and the exporter's."""
        return (*self.recipients, *((self.export.public_key,) if self.export else ()))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Field and message of each: the rules of CEL, for a resource that was stored before they were."""
        if self.export and len(self.recipients) >= MAX_RECIPIENTS:
            yield "spec.audit.recipients", _ONE_PLACE_LESS
        if self.export:
            yield from self.export.problems("spec.audit.export", self.recipients)
