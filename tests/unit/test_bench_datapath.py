"""The parts of `make bench-datapath`: what it sends, what its callers notice, and what it makes of the samples."""

import asyncio
import json
import re
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path as File
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.zones import GATE_PORT
from tests.bench.__main__ import main
from tests.bench.datapath.deployment import Deployed
from tests.bench.datapath.figures import (
    ALONE,
    BARE,
    BOTH,
    DIRECT,
    INSPECTING,
    LITELLM,
    MANY,
    ONE,
    PERSON,
    STREAMS,
    Rounds,
    quantile,
)
from tests.bench.datapath.gates import bare
from tests.bench.datapath.litellm import REQUIREMENTS
from tests.bench.datapath.measuring import PathError, Sample, Timing, measure
from tests.bench.datapath.paths import Path
from tests.bench.datapath.plot import bars
from tests.bench.datapath.program import program
from tests.bench.datapath.report import plot, report
from tests.bench.datapath.workloads import EVENTS, PROMPT, Kind, Workload, workloads
from tests.environments import pinned

PATHS = (DIRECT, BARE, ALONE, BOTH, INSPECTING, LITELLM)
BRIEF = Timing(0.05, 0.1)
Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


# --- what is sent ---


@pytest.mark.parametrize("workload", workloads(), ids=lambda workload: workload.name)
def test_a_body_has_exactly_its_size(workload: Workload) -> None:
    document = json.loads(workload.body())
    assert len(workload.body()) == workload.size
    assert document["model"] == workload.model
    assert document.get("stream", False) is (workload.kind != "plain")


def test_a_request_says_how_long_it_is_and_carries_the_path_s_headers() -> None:
    head, body = ONE.request({"authorization": "Bearer x"}).split("\r\n\r\n")
    assert f"content-length: {len(body)}" in head.split("\r\n")
    assert "authorization: Bearer x" in head.split("\r\n")


def test_every_kind_size_and_number_of_connections_is_measured() -> None:
    assert len(workloads()) == len(set(workloads())) == 2 * 3 * 3 + 1 + 3
    assert {ONE, MANY, STREAMS, PROMPT} <= set(workloads())


# --- the callers and the model ---


@asynccontextmanager
async def model() -> AsyncIterator[Path]:
    """The benchmark's own model server."""
    async with asyncio.timeout(60):
        with_port = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = with_port.sockets[0].getsockname()[1]
        with_port.close()
        await with_port.wait_closed()
        process = await asyncio.create_subprocess_exec(program(), "model", f"tcp:127.0.0.1:{port}")
        try:
            await _listens(port)
            yield Path("model", f"tcp:127.0.0.1:{port}")
        finally:
            process.terminate()
            await process.wait()


async def _listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


@asynccontextmanager
async def server(reply: Reply) -> AsyncIterator[Path]:
    """A model server that answers every request by ``reply``."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_length = re.compile(rb"content-length: (\d+)\r\n")
        try:
            while found := with_length.search(await reader.readuntil(b"\r\n\r\n")):
                await reader.readexactly(int(found[1]))
                await reply(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listening = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with listening:
        yield Path("server", f"tcp:127.0.0.1:{listening.sockets[0].getsockname()[1]}")


def answering(body: bytes, status: str = "200 OK", kind: str = "application/json") -> Reply:
    """A reply that is always the same."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    return reply


@pytest.mark.parametrize("kind", get_args(Kind))
async def test_the_model_answers_as_its_name_asks(kind: Kind) -> None:
    workload = Workload(kind, 16 << 10, 4)
    async with model() as path:
        sample = await asyncio.to_thread(measure, path, workload, BRIEF)
    assert sample.requests >= workload.connections
    assert sample.requests == len(sample.latencies) <= sample.total
    assert bool(sample.events) is (kind != "plain")
    assert bool(sample.gaps) is bool(sample.delays) is (kind == "paced")
    assert sample.cpu == 0  # this path has no process of its own
    assert all(delay > 0 for delay in sample.delays)


async def test_an_event_has_the_time_at_which_it_came() -> None:
    """The model waits 5 ms before each event: no gap's average can be shorter, whatever the machine does."""
    async with model() as path:
        sample = await asyncio.to_thread(measure, path, Workload("paced", 1024, 1), Timing(0.0, 0.1))
    assert min(sample.latencies) >= EVENTS * 5_000
    assert statistics.mean(sample.gaps) > 4_000
    assert min(sample.firsts) >= 5_000


async def test_the_loop_is_closed() -> None:
    """One request a connection is under way, never two."""
    busy, most = 0, 0
    content = json.dumps({"choices": [{"message": {"content": ""}}]}).encode()

    async def reply(writer: asyncio.StreamWriter) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.002)
        busy -= 1
        await answering(content)(writer)

    async with server(reply) as path:
        sample = await asyncio.to_thread(measure, path, Workload("plain", 300, 3), BRIEF)
    assert most == 3
    assert min(sample.latencies) >= 2_000


GOOD = b'{"choices":[{"message":{"content":"the quick brown'


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (answering(b'{"error":"no"}', "503 Service Unavailable"), "status 503"),
        (answering(b'{"choices":[]}'), "without content"),
        (answering(GOOD + b'"}}]}'), "bytes of content instead of"),
    ],
)
async def test_a_wrong_reply_is_no_fast_reply(reply: Reply, complaint: str) -> None:
    async with server(reply) as path:
        with pytest.raises(PathError, match=complaint):
            await asyncio.to_thread(measure, path, ONE, BRIEF)


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([], "0 events instead of 200"),
        (["a", "b", "d"], "event 2 says"),
        (["a", "b", "b"], "event 2 says"),
        (["a", "b"], "2 events instead of 200"),
    ],
)
async def test_a_stream_that_lost_or_doubled_an_event_is_noticed(events: list[str], complaint: str) -> None:
    lines = [f'data: {{"choices":[{{"delta":{{"content":" {event}:bcd"}}}}]}}\n\n' for event in events]
    body = "".join([*lines, "data: [DONE]\n\n"]).encode()
    async with server(answering(body, kind="text/event-stream")) as path:
        with pytest.raises(PathError, match=complaint):
            await asyncio.to_thread(measure, path, STREAMS, BRIEF)


async def test_a_stream_without_an_end_is_noticed() -> None:
    body = b'data: {"choices":[{"delta":{"content":" a:bcd"}}]}\n\n'
    async with server(answering(body, kind="text/event-stream")) as path:
        with pytest.raises(PathError, match="ended after 1 of 200 events"):
            await asyncio.to_thread(measure, path, STREAMS, BRIEF)


def test_a_path_that_nobody_listens_on_is_an_error() -> None:
    with pytest.raises(PathError, match="nowhere"):
        measure(Path("nowhere", "unix:/nonexistent/socket"), ONE, BRIEF)


# --- the paths ---


def test_the_bare_hop_is_the_gate_without_its_rules() -> None:
    whole = Deployed().gate_files()
    reduced = bare(whole, 8000)
    before, after = (_ingress(files) for files in (whole, reduced))
    assert after["filter_chains"][0]["transport_socket"] == before["filter_chains"][0]["transport_socket"]
    assert after["address"]["socket_address"]["port_value"] == GATE_PORT
    names = [one["name"] for one in _manager(reduced)["http_filters"]]
    assert names == ["envoy.filters.http.router"]
    assert len(_manager(whole)["http_filters"]) > 4  # and the gate's own is left as it was
    assert "access_log" not in _manager(reduced)


def _ingress(files: Mapping[str, Any]) -> Any:
    return next(one for one in files["listeners.json"]["resources"] if one["name"] == "ingress")


def _manager(files: Mapping[str, Any]) -> Any:
    return _ingress(files)["filter_chains"][0]["filters"][0]["typed_config"]


def test_every_package_of_litellm_s_environment_is_pinned() -> None:
    lines = REQUIREMENTS.read_text().splitlines()
    assert f"litellm=={pinned(REQUIREMENTS, 'litellm')}" in lines
    assert all(re.match(r"[A-Za-z0-9._-]+==\S+", line) for line in lines)


# --- the figures ---


def test_quantiles_are_nearest_ranks() -> None:
    hundred = [float(number) for number in range(100, 0, -1)]
    assert [quantile(hundred, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert quantile([7.0], 0.99) == 7
    assert quantile([], 0.5) == 0


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_one_of_the_values_and_that_share_does_not_exceed_it(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def sample(latency: float, cpu: float = 0.0, events: int = 0) -> Sample:
    """One second of 100 requests."""
    return Sample(1.0, 100, events, cpu, [latency] * 100, [latency / 2] if events else [], [], [], 100)


def rounds(
    both: float = 1_500.0, litellm: float = 3.0, gate: float = 0.02, inspected: float = 100.0, words: float = 0.005
) -> Rounds:
    """Two rounds, the second on a machine that had become three times slower."""
    found = Rounds()
    for slower in (1, 3):
        found.syncs.append(200.0 * slower)
        latencies = {DIRECT: 100.0, BARE: 300.0, ALONE: 800.0, BOTH: both}
        latencies |= {INSPECTING: both + inspected, LITELLM: 20_000.0}
        cpu = {DIRECT: 0.0, BARE: 0.01, ALONE: 0.015, BOTH: gate}
        cpu |= {INSPECTING: gate + words, LITELLM: litellm}
        for path in PATHS:
            found.add(path, ONE, sample(latencies[path] * slower, cpu[path] * slower))
            found.add(path, MANY, sample(latencies[path] * slower, cpu[path] * slower))
            found.add(path, STREAMS, sample(latencies[path] * slower, cpu[path] * slower, 1000))
            found.add(path, PROMPT, sample(latencies[path] * slower))
    return found


def test_figures_are_medians_and_what_is_compared_is_compared_within_a_round() -> None:
    found = rounds()
    assert found.figures(ALONE, MANY).p50 == 1_600  # 800 and 2,400
    assert found.added(BOTH, ONE) == statistics.median([1_400, 4_200])
    assert found.beyond(BOTH, ONE, 2) == statistics.median([1_000, 3_000])
    assert found.times(LITELLM, ALONE, MANY) == pytest.approx(200)
    assert found.times(BOTH, BARE, MANY) == pytest.approx(2)
    assert found.figures(ALONE, STREAMS).event_cpu == pytest.approx(30)


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (rounds(both=500.0), ""),
        (rounds(both=1_500.0), "gate + auditor: added p50 beyond"),
        (rounds(both=500.0, litellm=1.0), "auditor alone: requests"),
        (rounds(both=500.0, gate=0.04), "gate + auditor: CPU"),
        (rounds(both=500.0, inspected=200.0), "inspection: added p50"),
        (rounds(both=500.0, words=0.01), "inspection: CPU of an SSE event"),
    ],
)
def test_each_target_is_judged_by_its_own_figure(found: Rounds, missed: str) -> None:
    assert len(found.targets()) == 6
    failed = [target.text for target in found.targets() if not target.met]
    assert [text.startswith(missed) for text in failed] == ([True] if missed else [])


def test_a_run_that_did_not_measure_them_judges_no_targets() -> None:
    found = Rounds()
    found.add(DIRECT, ONE, sample(1.0))
    assert found.targets() == []


# --- the report ---


def test_the_report_has_a_row_for_each_path_and_workload_and_says_what_is_missed() -> None:
    text = report(rounds(), [ONE, MANY, STREAMS], PATHS, {DIRECT: 0, ALONE: 50 << 20})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert {(row[0], row[1]) for row in rows} >= {(w.name, path) for w in (ONE, MANY, STREAMS) for path in PATHS}
    assert "Peak memory: auditor alone 50 MiB" in text
    assert sum(row[-1] == "MISSED" for row in rows) == sum(not target.met for target in rounds().targets()) == 1
    by_table = re.split(r"\n\n", text)
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in by_table if table[:1] == "|")


def test_a_quick_run_goes_through_every_path(tmp_path: File, capsys: pytest.CaptureFixture[str]) -> None:
    """LiteLLM apart, which is no part of the project and takes long to fetch."""
    image = tmp_path / "plot.svg"
    code = main(["datapath", "--quick", "--seconds", "0.2", "--without-litellm", "--plot", str(image)])
    text = capsys.readouterr().out
    assert code == 0
    for path in (DIRECT, BARE, ALONE, BOTH, PERSON):
        assert text.count(f"| {path} |") == 3
    assert LITELLM not in text
    assert "added p50 beyond" in text
    assert image.read_text().startswith("<svg")


def test_the_plot_is_svg_with_a_bar_for_each_path() -> None:
    root = ElementTree.fromstring(plot(rounds(), PATHS))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(texts.count(path) == 3 for path in PATHS if path != DIRECT)


def test_bars_are_as_long_as_their_values_ask() -> None:
    root = ElementTree.fromstring(bars({"<a & b>": {"one": 1.0, "ten": 10.0, "hundred": 100.0}}))
    _, *drawn = root.iter("{http://www.w3.org/2000/svg}rect")  # the first is the background
    lengths = [float(bar.get("width", "")) for bar in drawn]
    assert lengths[0] == 0
    assert lengths[2] == pytest.approx(2 * lengths[1], abs=1)
