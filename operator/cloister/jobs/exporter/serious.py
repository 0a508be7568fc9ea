"""Counts of serious alerts, for the teller beside this program: codes and numbers, and nothing that a caller chose."""

from collections.abc import Sequence
from pathlib import Path

from cloister import sidecar
from cloister.jobs.exporter.pipeline import Memory
from cloister.jobs.exporter.told import Told
from cloister.kept import KeptFile


class Serious:
    """Takes alerts and keeps their totals, which only ever grow: whoever reads one message has missed none before."""

    def __init__(self, folder: Path) -> None:
        self._file = KeptFile(folder / sidecar.REPORT, mode=0o640)
        self._said = b""

    async def take(self, batch: Sequence[Told], memory: Memory) -> None:
        """Counts what is critical."""
        for one in batch:
            if one.type == "alert" and one.severity == "critical":
                code = one.fields.get("code")
                known = code if code in sidecar.SERIOUS_CODES else sidecar.OTHER_CODE
                counts = memory.totals.setdefault(one.component, {})
                counts[known] = counts.get(known, 0) + 1

    def kept(self, memory: Memory) -> None:
        """Hands the totals over, where there is something to tell."""
        report = sidecar.AlertReport.model_validate({"totals": memory.totals}).model_dump_json().encode()
        if memory.totals and report != self._said:
            self._file.replace(report)
            self._said = report
