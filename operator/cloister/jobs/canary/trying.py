"""The canary that tries: what must pass, until it does; what must not, before that and after."""

import asyncio
from pathlib import Path

from cloister.jobs.canary.attempts import Attempt
from cloister.probing import Answer, Probe, Prober, ProberReport, plan_digest

_PAUSE_SECONDS = 0.5


def probe(config: Prober) -> int:
    """Try everything and leave the report as the termination message."""
    answers = asyncio.run(_tried(config))
    report = ProberReport(
        run=config.run,
        post=config.post,
        plan=plan_digest(config.probes),
        answers="".join(answer.value for answer in answers),
    ).model_dump_json()
    Path(config.termination_log).write_text(report)
    print(report, flush=True)
    return 0


async def _tried(config: Prober) -> list[Answer]:
    """An answer for each probe.

    What must not pass is tried at once, when a slow network may still let a new pod through, and again when what must
    pass has passed: silence counts only while the network is known to carry. The worse of both stays. Where nothing
    must pass, that it carries can't be known, and it is given time.
    """
    wanted = [index for index, one in enumerate(config.probes) if one.passes]
    unwanted = [index for index, one in enumerate(config.probes) if not one.passes]
    answers: dict[int, Answer] = {}

    async def insist(index: int) -> None:
        async with asyncio.timeout(config.patience_seconds):
            while True:
                answers[index] = await _once(config, config.probes[index])
                if answers[index] is Answer.REACHED:
                    return
                await asyncio.sleep(_PAUSE_SECONDS)

    async def attempt(index: int) -> None:
        answers[index] = _worse(config.probes[index], answers.get(index), await _once(config, config.probes[index]))

    insisting = [asyncio.create_task(insist(index)) for index in wanted]
    await asyncio.gather(*(attempt(index) for index in unwanted))
    await asyncio.gather(*insisting, return_exceptions=True)  # a TimeoutError: its last answer is kept
    if not wanted:
        await asyncio.sleep(config.settle_seconds)
    await asyncio.gather(*(attempt(index) for index in unwanted))
    return [answers.get(index, Answer.SILENT) for index in range(len(config.probes))]


async def _once(config: Prober, one: Probe) -> Answer:
    return await Attempt(one, config.run, config.silence_seconds).make()


def _worse(probe: Probe, first: Answer | None, now: Answer) -> Answer:
    """Of two answers to what must not pass the one that counts."""
    if first is None or not (first.through or first is Answer.UNASKED):
        return now
    closed = now in (Answer.SILENT, Answer.REFUSED)
    return Answer.BRIEFLY if closed and probe.kind != "tls" else first
