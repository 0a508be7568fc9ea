"""CL4nn: what flows into, out of and between the stores."""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import combinations

from cloister.lint.finding import Hit, Rule, Severity
from cloister.spec import LLMDeployment, Writer, milli
from cloister.spec.fields import seconds
from cloister.spec.storage import FIELDS
from cloister.zones import Component


def _below(key: str, prefixes: Sequence[str]) -> bool:
    return any(key.startswith(prefix) for prefix in prefixes)


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _nobody_writes_model(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    spec = deployment.spec
    if not spec.inference.model:
        return
    prefixes = [prefix for writer in spec.storage.checkpoints.writers for prefix in writer.prefixes]
    prefixes += spec.training.writes if spec.training else ()
    if not _below(spec.inference.model.object, prefixes):
        message = "neither training nor any writer of the checkpoints store can put it there"
        yield Hit("spec.inference.model.object", message, spec.inference.model.object)


def _learns_nothing(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    training = deployment.spec.training
    if training and not training.reads:
        yield Hit("spec.training.reads", "training reads nothing", [])


def _keeps_nothing(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    training = deployment.spec.training
    if training and not training.writes:
        yield Hit("spec.training.writes", "training writes nothing: its result is lost with the pod", [])


def _redundant(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    lists: list[tuple[str, Sequence[str]]] = []
    if training := deployment.spec.training:
        lists += [("spec.training.reads", training.reads), ("spec.training.writes", training.writes)]
    for field, machine in deployment.spec.machines():
        prefixes = getattr(machine, "prefixes", ())
        lists.append((f"{field}.prefixes", prefixes))
    for field, prefixes in lists:
        for one, other in combinations(prefixes, 2):
            if _overlap(one, other):
                wide, narrow = sorted((one, other), key=len)
                yield Hit(field, f"{wide!r} already includes it", narrow)


def _replaces_model(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    model = deployment.spec.inference.model
    training = deployment.spec.training
    for index, writer in enumerate(deployment.spec.storage.checkpoints.writers):
        if model and training and _below(model.object, writer.prefixes) and _below(model.object, training.writes):
            message = f"{writer.namespace}/{writer.service_account} and training can both replace {model.object}"
            yield Hit(f"spec.storage.checkpoints.writers[{index}].prefixes", message, list(writer.prefixes))


def _shared_prefix(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    storage = deployment.spec.storage
    stores: tuple[tuple[str, tuple[Writer, ...]], ...] = (
        (FIELDS[Component.TRAINING_DATA], storage.training_data.writers),
        (FIELDS[Component.CHECKPOINTS], storage.checkpoints.writers),
    )
    for store, writers in stores:
        for (_first, first), (index, second) in combinations(enumerate(writers), 2):
            same = (first.namespace, first.service_account) == (second.namespace, second.service_account)
            shared = [one for one in second.prefixes for other in first.prefixes if _overlap(one, other)]
            if shared and not same:
                who = f"{first.namespace}/{first.service_account}"
                field = f"spec.storage.{store}.writers[{index}].prefixes"
                yield Hit(field, f"{who} can overwrite what this machine writes, and the other way round", shared)


def _nobody_fills(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    training = deployment.spec.training
    filled = [prefix for writer in deployment.spec.storage.training_data.writers for prefix in writer.prefixes]
    for index, prefix in enumerate(training.reads if training else ()):
        if not any(_overlap(prefix, other) for other in filled):
            yield Hit(f"spec.training.reads[{index}]", "no writer of the training data fills this prefix", prefix)


def _nobody_audits(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if not deployment.spec.storage.interaction_logs.readers:
        yield Hit("spec.storage.interactionLogs.readers", "nobody can read what is recorded", [])


def _reads_raw_data(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for index, reader in enumerate(deployment.spec.storage.training_data.readers):
        who = f"{reader.namespace}/{reader.service_account}"
        message = f"{who} reads training data, which is training's alone (ZT-12)"
        yield Hit(f"spec.storage.trainingData.readers[{index}]", message)


def _unsigned(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    model = deployment.spec.inference.model
    if model and not model.public_key:
        message = "the digest says which weights are served, and nothing says who made them (ZT-26)"
        yield Hit("spec.inference.model.publicKey", message)


def _unsealed(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    model = deployment.spec.inference.model
    if model and not model.sealed:
        message = "whoever may read the object in the checkpoints store has the weights (ZT-26)"
        yield Hit("spec.inference.model.sealed", message)


def _unsealed_to_disk(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    model = deployment.spec.inference.model
    if model and model.sealed and not model.memory:
        message = "the weights are sealed in the store, and lie open on the disk of the server's node"
        yield Hit("spec.inference.model.memory", message, False)


def _no_room(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    inference = deployment.spec.inference
    limit = inference.resources.limits.get("memory")
    if inference.model and inference.model.memory and limit and milli(limit) <= milli(inference.model.size):
        message = f"the weights take up to {inference.model.size} of memory, which leaves the server none of its limit"
        yield Hit("spec.inference.resources.limits.memory", message, limit)


def _odd_rotation(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for component, store in deployment.spec.storage.by_component().items():
        every = store.encryption.rotate_every if store.encryption else None
        if every and not _DAY <= seconds(every) <= _YEAR:
            often = "each rotation writes the whole store anew" if seconds(every) < _DAY else "a key lives over a year"
            yield Hit(f"spec.storage.{FIELDS[component]}.encryption.rotateEvery", often, every)


def _short_memory(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    retention = deployment.spec.storage.interaction_logs.retention
    if retention and seconds(retention) < _MONTH:
        message = "an incident that is found later finds no records"
        yield Hit("spec.storage.interactionLogs.retention", message, retention)


_DAY, _MONTH, _YEAR = 86_400, 30 * 86_400, 366 * 86_400

DATA = (
    Rule(
        "CL401",
        Severity.WARNING,
        "Nobody can write the model's object",
        "let training write its prefix, or declare a writer for it",
        _nobody_writes_model,
    ),
    Rule(
        "CL402",
        Severity.WARNING,
        "Training reads nothing",
        "list prefixes of the training data",
        _learns_nothing,
    ),
    Rule(
        "CL403",
        Severity.WARNING,
        "Training writes nothing",
        "list prefixes of the checkpoints",
        _keeps_nothing,
    ),
    Rule(
        "CL404",
        Severity.WARNING,
        "A prefix inside another",
        "keep the narrower one if it is enough",
        _redundant,
    ),
    Rule(
        "CL405",
        Severity.WARNING,
        "Two ways to replace the model that is served",
        "give the writer a prefix of its own, and let training alone write what is served",
        _replaces_model,
    ),
    Rule(
        "CL406",
        Severity.WARNING,
        "Two writers of one prefix",
        "give each writer a prefix of its own",
        _shared_prefix,
    ),
    Rule(
        "CL407",
        Severity.WARNING,
        "Training data that nobody can bring",
        "declare a writer of spec.storage.trainingData for the prefix",
        _nobody_fills,
    ),
    Rule(
        "CL408",
        Severity.WARNING,
        "Nobody reads the interaction logs",
        "declare the auditors under spec.storage.interactionLogs.readers",
        _nobody_audits,
    ),
    Rule(
        "CL409",
        Severity.WARNING,
        "A reader of training data outside training",
        "let a training run make what the machine needs, and read that from the checkpoints",
        _reads_raw_data,
    ),
    Rule(
        "CL410",
        Severity.INFO,
        "Weights that nobody has signed",
        "sign the object by `cloister sign` or model-signing, and name the public key in publicKey",
        _unsigned,
    ),
    Rule(
        "CL411",
        Severity.INFO,
        "Weights that are not sealed",
        "seal them by `cloister seal`, and set sealed and unsealKeyRef",
        _unsealed,
    ),
    Rule(
        "CL412",
        Severity.WARNING,
        "Sealed weights, opened onto a disk",
        "set memory: true, or encrypt the nodes' disks",
        _unsealed_to_disk,
    ),
    Rule(
        "CL413",
        Severity.ERROR,
        "Weights in memory, and no room for them",
        "raise the memory limit above size, by what the server itself needs",
        _no_room,
    ),
    Rule(
        "CL414",
        Severity.WARNING,
        "Keys that turn too often, or hardly ever",
        "rotate between once a day and once a year; 720h is usual",
        _odd_rotation,
    ),
    Rule(
        "CL415",
        Severity.WARNING,
        "Interaction logs that are gone within a month",
        "keep them for 30d or longer",
        _short_memory,
    ),
)
