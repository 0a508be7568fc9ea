"""LiteLLM's proxy with a callback that logs, in an environment of its own: it is no dependency of the project."""

import json
from pathlib import Path as File

from tests.bench.datapath.figures import LITELLM
from tests.bench.datapath.paths import Path
from tests.cluster.ports import answers, choosing, free
from tests.cluster.processes import ProcessTable
from tests.environments import environment

REQUIREMENTS = File(__file__).with_name("litellm.txt")
"""Every package of the environment, by version: `uv pip compile --universal` of `litellm[proxy]`."""

_CALLBACK = """
import json
import os

from litellm.integrations.custom_logger import CustomLogger


class Log(CustomLogger):
    def __init__(self):
        super().__init__()
        self.file = open(os.environ["DATAPATH_LOG"], "a", buffering=1)

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        record = {
            "model": kwargs.get("model"),
            "messages": kwargs.get("messages"),
            "reply": response_obj.model_dump(mode="json"),
            "start": start_time.isoformat(),
            "end": end_time.isoformat(),
        }
        self.file.write(json.dumps(record) + "\\n")


log = Log()
"""

_OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # the list of prices would be fetched at the start
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "NO_DOCS": "True",
    "DISABLE_ADMIN_UI": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # it listens on loopback, for the benchmark alone
}


def proxy(table: ProcessTable, folder: File, model: str) -> Path:
    """The proxy before a model server at `<host>:<port>`: one worker, no database, no keys."""
    folder.mkdir()
    (folder / "callback.py").write_text(_CALLBACK)
    config = folder / "config.yaml"
    upstream = {"model": "openai/*", "api_base": f"http://{model}/v1", "api_key": "none"}
    config.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": "*", "litellm_params": upstream}],
                "litellm_settings": {"callbacks": ["callback.log"], "telemetry": False},
            }
        )
    )
    log = folder / "log.jsonl"
    with choosing():
        port = free(["litellm"])["litellm"]
    program = environment("litellm", REQUIREMENTS).with_name("litellm")
    command: list[str | File] = [program, "--config", config, "--host", "127.0.0.1"]
    identity = table.start(
        "litellm", [*command, "--port", str(port), "--num_workers", "1"], env={**_OFFLINE, "DATAPATH_LOG": str(log)}
    )
    table.wait_ready("litellm", lambda: answers(port), timeout=180)
    return Path(LITELLM, f"tcp:127.0.0.1:{port}", (identity,))
