"""CL3nn: the model server and the training program."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator

from cloister.lint.finding import Hit, Rule, Severity
from cloister.spec import LLMDeployment, Method, PodShape
from cloister.spec.fields import InputVerdict, Verdict
from cloister.spec.replies import OutputKind

ADMINISTRATIVE: tuple[tuple[str, str], ...] = (
    (r"/invocations", "vLLM's SageMaker route: every API at once, without its checks"),
    (r"(/v1)?/(un)?load_lora_adapter", "vLLM: loads code and weights into the server"),
    (
        r"/(reset_(prefix|mm|encoder)_cache|sleep|wake_up|is_sleeping|collective_rpc|server_info)",
        "vLLM: administration",
    ),
    (r"/(pause|resume|scale_elastic_ep|start_profile|stop_profile|abort_requests)", "vLLM: administration"),
    (
        r"/(init_weight_transfer_engine|update_weights|start_weight_update|finish_weight_update)",
        "vLLM: replaces weights",
    ),
    (
        r"/(flush_cache|update_weights_from_\w+|set_internal_state|get_internal_state)",
        "SGLang: administration",
    ),
    (r"/(release|resume)_memory_occupation", "SGLang: administration"),
    (r"/api/(pull|push|create|copy|delete|blobs(/.*)?|ps)", "Ollama: installs, uploads and deletes models"),
    (r"/slots(/.*)?", "llama.cpp: shows the prompts of others, and saves them to files"),
    (r"/(props|lora-adapters|models/(un)?load)", "llama.cpp: changes the running server"),
    (r"/v2/repository(/.*)?", "Triton: loads and unloads models"),
    (r"/v2/(logging|trace/setting|(cuda|system)sharedmemory(/.*)?)", "Triton: administration"),
    (r"/(docs|redoc|openapi\.json)", "the server's own manual"),
    (r"/(metrics|debug(/.*)?|admin(/.*)?|shutdown|quitquitquit)", "administration"),
)
"""Paths of model servers that are not for callers, whole, with what they do."""

_SECRET = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_KEY)(_|$)", re.IGNORECASE)
_UNSAFE = {
    "--trust-remote-code": "runs code that comes with the weights",
    "--trust_remote_code": "runs code that comes with the weights",
    "--enable-sleep-mode": "opens administrative routes",
}
_UNSAFE_ENV = {
    "VLLM_SERVER_DEV_MODE": "opens vLLM's administrative routes",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "lets callers load adapters into vLLM",
    "HF_HUB_TRUST_REMOTE_CODE": "runs code that comes with the weights",
}
_HOST_ENV = ("HOST", "HOSTNAME", "OLLAMA_HOST", "VLLM_HOST", "LLAMA_ARG_HOST", "UVICORN_HOST")


def _shapes(deployment: LLMDeployment) -> Iterator[tuple[str, PodShape]]:
    yield "spec.inference", deployment.spec.inference
    if deployment.spec.training:
        yield "spec.training", deployment.spec.training


def _options(shape: PodShape, name: str) -> Iterator[str]:
    """Values of a command-line option, written `--name value` or `--name=value`."""
    words = (*shape.command, *shape.args)
    for word, following in zip(words, (*words[1:], ""), strict=False):
        if word == name:
            yield following
        elif word.startswith(f"{name}="):
            yield word.removeprefix(f"{name}=")


def _administrative(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for name, api in deployment.spec.inference.apis.items():
        for path in api.paths:
            for pattern, what in ADMINISTRATIVE:
                if re.fullmatch(pattern, path.rstrip("/"), re.IGNORECASE):
                    yield Hit(f"spec.inference.apis.{name}.paths", f"not for callers ({what})", path)
                    break


def _variable_twice(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for field, shape in _shapes(deployment):
        for name, count in Counter(variable.name for variable in shape.env).items():
            if count > 1:
                yield Hit(f"{field}.env", f"{name} is set {count} times, and only the last counts", name)


def _changing(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for name, api in deployment.spec.inference.apis.items():
        for method in api.methods:
            if method in (Method.PUT, Method.PATCH, Method.DELETE):
                message = "a model answers POST and GET; this method changes the server"
                yield Hit(f"spec.inference.apis.{name}.methods", message, str(method))


def _no_memory_limit(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for field, shape in _shapes(deployment):
        if "memory" not in shape.resources.limits:
            yield Hit(f"{field}.resources.limits.memory", "without it one program can take the whole node's memory")


def _no_sandbox(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if deployment.spec.inference.runtime_class_name is None:
        message = "the model server runs on the node's own kernel (ZT-18 asks for a sandbox)"
        yield Hit("spec.inference.runtimeClassName", message)


def _few_replicas(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    replicas = deployment.spec.inference.replicas
    if replicas == 0:
        yield Hit("spec.inference.replicas", "nothing serves", 0)
    elif replicas == 1:
        yield Hit(
            "spec.inference.replicas",
            "one replica has no disruption budget: a drained node stops the model",
            1,
        )


def _default_limits(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    inference = deployment.spec.inference
    if "limits" not in inference.model_fields_set:
        limits = inference.limits
        message = f"{limits.requests_per_minute} requests a minute and caller, of {limits.max_body_bytes} bytes"
        yield Hit("spec.inference.limits", message)


def _weights_in_image(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if deployment.spec.inference.model is None:
        yield Hit("spec.inference.model", "no weights are fetched and verified: they must be part of the image")


def _secret_literal(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for field, shape in _shapes(deployment):
        for index, variable in enumerate(shape.env):
            if variable.value and _SECRET.search(variable.name):
                # The value is not repeated: a report of secrets must not be one more place where they lie.
                message = f"{variable.name} looks like a secret, and whoever may read this resource can read it"
                yield Hit(f"{field}.env[{index}]", message)


def _listens_everywhere(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    inference = deployment.spec.inference
    message = "listens beyond 127.0.0.1, beside the gate: the node's kubelet and its host network reach it"
    for host in _options(inference, "--host"):
        if host in ("0.0.0.0", "::", "*"):  # noqa: S104
            yield Hit("spec.inference.args", message, f"--host {host}")
    for index, variable in enumerate(inference.env):
        if variable.name in _HOST_ENV and re.match(r"^(0\.0\.0\.0|\[?::\]?)(:|$)", variable.value):
            yield Hit(f"spec.inference.env[{index}].value", message, variable.value)


def _other_port(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    inference = deployment.spec.inference
    for port in _options(inference, "--port"):
        if port.isdigit() and int(port) != inference.port:
            yield Hit(
                "spec.inference.port",
                f"is {inference.port}, but the server is told --port {port}",
                inference.port,
            )


def _unsafe_option(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for field, shape in _shapes(deployment):
        for word in (*shape.command, *shape.args):
            if what := _UNSAFE.get(word.partition("=")[0]):
                yield Hit(f"{field}.args", what, word)
        for index, variable in enumerate(shape.env):
            what = _UNSAFE_ENV.get(variable.name)
            if what and variable.value.lower() in ("1", "true", "yes"):
                yield Hit(f"{field}.env[{index}]", what, f"{variable.name}={variable.value}")


def _unchecked_input(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    verdict = deployment.spec.inference.guard.request_schema
    if verdict is not InputVerdict.BLOCK:
        what = "are recorded, and reach the model" if verdict is InputVerdict.FLAG else "reach the model"
        yield Hit("spec.inference.guard.schema", f"requests outside their API's schema {what} (ZT-20)", verdict.value)


def _unmasked_output(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    guard = deployment.spec.inference.guard
    field = "spec.inference.guard.sensitiveOutput"
    if guard.sensitive_output in (Verdict.FLAG, Verdict.OFF):
        what = "are recorded, and leave" if guard.sensitive_output is Verdict.FLAG else "leave unseen"
        yield Hit(field, f"sensitive values in replies {what} (ZT-28)", guard.sensitive_output.value)
    elif left := sorted(set(OutputKind) - set(guard.output_kinds)):
        yield Hit("spec.inference.guard.outputKinds", f"replies may say these (ZT-28): {', '.join(left)}")


def _unguarded(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    guard = deployment.spec.inference.guard
    field = "spec.inference.guard"
    if guard.prompt_injection is not InputVerdict.BLOCK:
        what = (
            "is recorded, and reaches"
            if guard.prompt_injection is InputVerdict.FLAG
            else "is not looked for, and reaches"
        )
        yield Hit(
            f"{field}.promptInjection", f"prompt injection {what} the model (ZT-20)", guard.prompt_injection.value
        )
    elif guard.injection_threshold > 80:
        message = "only what nobody could doubt is found"
        yield Hit(f"{field}.injectionThreshold", message, guard.injection_threshold)
    elif guard.injection_threshold < 20:
        message = "ordinary requests will be refused"
        yield Hit(f"{field}.injectionThreshold", message, guard.injection_threshold)
    if guard.injection_rules and guard.prompt_injection is InputVerdict.OFF:
        yield Hit(f"{field}.injectionRules", "nobody goes by these rules while promptInjection is Off")


def _uncounted(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    verdict = deployment.spec.inference.guard.extraction
    if verdict is not InputVerdict.BLOCK:
        what = "is recorded, and goes on" if verdict is InputVerdict.FLAG else "is not noticed"
        yield Hit("spec.inference.guard.extraction", f"extraction of the model {what} (ZT-22)", verdict.value)


SERVER = (
    Rule(
        "CL301",
        Severity.ERROR,
        "An administrative path is offered to callers",
        "remove the path: callers need completions, embeddings and the list of models",
        _administrative,
    ),
    Rule("CL302", Severity.WARNING, "An environment variable set twice", "keep one of them", _variable_twice),
    Rule("CL303", Severity.WARNING, "An API that changes the server", "allow POST and GET only", _changing),
    Rule("CL304", Severity.WARNING, "No memory limit", "set resources.limits.memory", _no_memory_limit),
    Rule(
        "CL305",
        Severity.WARNING,
        "No sandbox",
        "set runtimeClassName to a sandboxed runtime of your cluster, such as gvisor or kata",
        _no_sandbox,
    ),
    Rule(
        "CL306",
        Severity.WARNING,
        "Too few replicas to survive a drained node",
        "set replicas to 2 or more",
        _few_replicas,
    ),
    Rule("CL307", Severity.INFO, "Default limits", "set limits to what your callers need", _default_limits),
    Rule(
        "CL308",
        Severity.INFO,
        "Weights in the image",
        "put the weights into the checkpoints store and name them in spec.inference.model",
        _weights_in_image,
    ),
    Rule(
        "CL309",
        Severity.ERROR,
        "A secret as a literal",
        "remove it: no program in a zone needs a credential, the gate holds its identity",
        _secret_literal,
    ),
    Rule(
        "CL310",
        Severity.WARNING,
        "The server listens on every address",
        "let it listen on 127.0.0.1",
        _listens_everywhere,
    ),
    Rule("CL311", Severity.ERROR, "Two different ports", "let port and the server's --port agree", _other_port),
    Rule(
        "CL312",
        Severity.WARNING,
        "An option that opens the server",
        "remove the option; convert the model to a format without code if it needs it",
        _unsafe_option,
    ),
    Rule(
        "CL313",
        Severity.WARNING,
        "Input that is not checked",
        "leave guard.schema out, which blocks such requests",
        _unchecked_input,
    ),
    Rule(
        "CL314",
        Severity.WARNING,
        "Replies that may say anything",
        "leave guard.sensitiveOutput and guard.outputKinds out, which masks every kind of value",
        _unmasked_output,
    ),
    Rule(
        "CL315",
        Severity.WARNING,
        "Prompt injection is let through",
        "leave guard.promptInjection out, which blocks, and injectionThreshold between 20 and 80",
        _unguarded,
    ),
    Rule(
        "CL316",
        Severity.WARNING,
        "Callers without a budget",
        "leave guard.extraction out, which blocks beyond guard.budgets, and set these to what your callers need",
        _uncounted,
    ),
)
