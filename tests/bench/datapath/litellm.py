"""LiteLLM's proxy with a callback that logs, in an environment of its own: it is no dependency of the project."""

import json
import shutil
import subprocess
import sys
from pathlib import Path as File

from tests.bench.datapath.figures import LITELLM
from tests.bench.datapath.paths import Path
from tests.cluster.catalogue import cache_root
from tests.cluster.ports import answers, choosing, free
from tests.cluster.processes import ProcessTable

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


def version() -> str:
    """The pinned version of LiteLLM."""
    lines = REQUIREMENTS.read_text().splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith("litellm=="))


def environment() -> File:
    """Its Python; made on first use."""
    home = cache_root().parent / f"litellm-{version()}"
    python = home / "bin" / "python"
    if not (home / ".complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        _make(home, python)
        (home / ".complete").touch()
    return python


def _make(home: File, python: File) -> None:
    uv = shutil.which("uv") or str(max(cache_root().parent.glob("uv-*/bin/uv")))
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", str(REQUIREMENTS)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")


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
    command: list[str | File] = [environment().with_name("litellm"), "--config", config, "--host", "127.0.0.1"]
    identity = table.start(
        "litellm", [*command, "--port", str(port), "--num_workers", "1"], env={**_OFFLINE, "DATAPATH_LOG": str(log)}
    )
    table.wait_ready("litellm", lambda: answers(port), timeout=180)
    return Path(LITELLM, f"tcp:127.0.0.1:{port}", (identity,))
