"""CL6nn: the journal, and those who can open it."""

import datetime as dt
from collections.abc import Iterator

from cloister.lint.finding import Hit, Rule, Severity
from cloister.spec import LLMDeployment
from cloister.spec.fields import Content
from cloister.spec.recipient import POST_QUANTUM_PREFIX

EXAMPLE_RECIPIENTS = (
    "cloister-pub-x25519:UdvIK-V6UaWWGuipEkHpntRYfEtPJy5PGcaVGft3GVY",
    "cloister-pub-x25519:W1UVYqChL554shd6hCnuGiH1lslr2eB-ml9qXv0ZkTk",
)
"""The keys of the examples. Their private halves were never kept: what is sealed for them alone is lost."""

_FIELD = "spec.audit.recipients"


def _single(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if len(set(deployment.spec.audit.recipients)) == 1:
        yield Hit(_FIELD, "one key opens the journal: if it is lost, so is every record", 1)


def _classical(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    keys = {f"{_FIELD}[{index}]": key for index, key in enumerate(deployment.spec.audit.recipients)}
    if export := deployment.spec.audit.export:
        keys["spec.audit.export.publicKey"] = export.public_key
    for field, key in keys.items():
        if not key.startswith(POST_QUANTUM_PREFIX):
            kind = key.partition(":")[0]
            yield Hit(field, "what is sealed for it today, a quantum computer may open one day", kind)


def _in_full(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if deployment.spec.audit.content is Content.FULL:
        yield Hit("spec.audit.content", "prompts and replies are kept in full, with whatever people write", "Full")


def _nothing(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if deployment.spec.audit.content is Content.NONE:
        yield Hit("spec.audit.content", "what was asked and answered can't be shown afterwards (ZT-27, ZT-28)", "None")


def _exporter(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if deployment.spec.audit.export:
        content = deployment.spec.audit.content
        held = "who asked what, and when" if content in (Content.NONE, Content.HASH) else "prompts and replies among it"
        message = f"a pod of the storage zone holds this key and has a way out: it opens the journal, {held}"
        yield Hit("spec.audit.export.publicKey", message, str(content))


def _example(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    audit = deployment.spec.audit
    keys = {f"{_FIELD}[{index}]": recipient for index, recipient in enumerate(audit.recipients)}
    if audit.export:
        keys["spec.audit.export.publicKey"] = audit.export.public_key
    for field, key in keys.items():
        if key in EXAMPLE_RECIPIENTS:
            yield Hit(
                field, "this is the examples' key, and nobody has its private half: what is sealed for it alone is lost"
            )


RECORDS = (
    Rule(
        "CL601",
        Severity.WARNING,
        "One recipient of the journal",
        "make a second pair by `cloister keys generate`, keep it elsewhere, and list its public key too",
        _single,
    ),
    Rule(
        "CL602",
        Severity.WARNING,
        "A recipient's key that is not post-quantum",
        "list a key that begins with cloister-pub-mlkem768x25519, which `cloister keys generate` makes by default",
        _classical,
    ),
    Rule(
        "CL603",
        Severity.WARNING,
        "Prompts are kept in full",
        "leave content out, which masks sensitive values (Redacted), unless you must keep them",
        _in_full,
    ),
    Rule(
        "CL604",
        Severity.INFO,
        "Prompts are not kept",
        "set content to Hash, to recognise a text, or to Redacted, to read it",
        _nothing,
    ),
    Rule(
        "CL605",
        Severity.WARNING,
        "The examples' key",
        "before you apply this, make your own by `cloister keys generate --out auditor.key`, and put the public key"
        " that it prints in its place",
        _example,
    ),
    Rule(
        "CL606",
        Severity.WARNING,
        "The exporter's key opens the journal",
        "leave export out if counts by Prometheus are enough; otherwise give that key to nobody else, and keep less"
        " (content)",
        _exporter,
    ),
)
