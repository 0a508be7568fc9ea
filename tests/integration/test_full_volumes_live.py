"""Full volumes, through the whole chain: nothing half-visible, nothing lost; with room again it goes on by itself."""

import http.client
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from cloister.zones import Component
from tests.gate.specs import deployment, example
from tests.store.chain import Auditor, Chain, running_chain, spiffe
from tests.store.running import until
from tests.volumes import small

DATA, WEIGHTS, TRAINING = Component.TRAINING_DATA, Component.CHECKPOINTS, Component.TRAINING
MIB = 1 << 20
IN_PARTS = TransferConfig(multipart_chunksize=5 * MIB)
BEFORE = b"before" * (MIB // 6)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """The example."""
    with running_chain(deployment(example("support-bot"))) as found:
        yield found


def failed(call: Any, **arguments: Any) -> tuple[int, str, str]:
    """Status, code and message of a query that must fail."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"].get("Message", "")


def uploaded(client: Any, upload: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Parts up to the one that fails, and how it does. What is on its way to the disk is taken before that."""
    parts: list[dict[str, Any]] = []
    for number in range(1, 11):
        try:
            part = client.upload_part(**upload, PartNumber=number, Body=b"p" * (5 * MIB))
        except ClientError as error:
            return parts, str(error)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    raise AssertionError("50 MiB went into 12")


def test_a_full_store(chain: Chain) -> None:
    """Of 12 MiB: no upload that does not fit leaves anything, in whatever way it comes; and all of it is on record."""
    store, client = chain.stores[WEIGHTS], chain.training()

    def put(name: str, body: bytes) -> Any:
        return client.put_object(Bucket=WEIGHTS, Key=f"support-bot/{name}", Body=body)

    def listed() -> dict[str, int]:
        found = client.list_objects_v2(Bucket=WEIGHTS, Prefix="support-bot/")["Contents"]
        return {one["Key"].removeprefix("support-bot/"): one["Size"] for one in found}

    store.stop()
    with small(store.mounted.data, "12m"):
        store.start()
        put("kept", BEFORE)
        put("ballast", b"b" * (4 * MIB))
        stored = listed()
        files = {path for path in store.mounted.data.rglob("*") if path.is_file()}

        for name in ("new", "kept"):
            whole = {"Bucket": WEIGHTS, "Key": f"support-bot/{name}"}
            status, code, message = failed(client.put_object, **whole, Body=b"n" * (16 * MIB))
            assert (status, code) == (500, "InternalError")
            assert "its volume may be full" in message

            upload = whole | {"UploadId": client.create_multipart_upload(**whole)["UploadId"]}
            parts, message = uploaded(client, upload)
            assert "its volume may be full" in message
            status, *_ = failed(client.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts})
            assert status in (400, 404, 500)

            with pytest.raises(ClientError):
                client.upload_fileobj(io.BytesIO(b"z" * (40 * MIB)), **whole, Config=IN_PARTS)

        assert listed() == stored
        assert failed(client.get_object, Bucket=WEIGHTS, Key="support-bot/new")[0] == 404
        assert client.get_object(Bucket=WEIGHTS, Key="support-bot/kept")["Body"].read() == BEFORE
        assert {path for path in store.mounted.data.rglob("*") if path.is_file()} == files

        client.delete_object(Bucket=WEIGHTS, Key="support-bot/ballast")
        put("new", b"n" * (4 * MIB))
        assert client.get_object(Bucket=WEIGHTS, Key="support-bot/new")["Body"].read() == b"n" * (4 * MIB)
        assert listed() == {"kept": len(BEFORE), "new": 4 * MIB}
        store.stop()
    for auditor in (chain.auditors[TRAINING], chain.auditors[WEIGHTS]):
        asked = {query["exchange"] for query in auditor.records("query")}
        ends = [result["exchange"] for result in auditor.records("result")]
        assert sorted(ends) == sorted(asked)
        # What the client gave up on has no status.
        assert sum(result.get("status") == 500 for result in auditor.records("result")) >= 4


def test_a_full_journal_of_a_store(chain: Chain, tmp_path: Path) -> None:
    """No record, so nothing is read and nothing is put; with room again the store serves by itself."""
    auditor, store = chain.auditors[DATA], chain.stores[DATA]
    client = chain.client(DATA, spiffe("etl", "ingest"))
    whole = {"Bucket": DATA, "Key": "corpora/support/a.txt"}
    auditor.end()
    own = auditor.config["journal"]["directory"]
    with small(tmp_path, "1m"):
        auditor.config["journal"]["directory"] = str(tmp_path / "journal")
        auditor.start()
        client.put_object(**whole, Body=b"seed")
        (tmp_path / "ballast").write_bytes(b"x" * shutil.disk_usage(tmp_path).free)

        def full() -> bool:
            """Some records still fit in the last page of a file."""
            try:
                client.put_object(Bucket=DATA, Key="corpora/support/more.txt", Body=b"x")
            except ClientError as error:
                return bool(error.response["Error"]["Code"] == "ServiceUnavailable")
            return False

        until(full, "the journal's volume to be full")
        new = {"Bucket": DATA, "Key": "corpora/support/new.txt"}
        assert failed(client.put_object, **new, Body=b"unrecorded")[:2] == (503, "ServiceUnavailable")
        assert failed(chain.training().get_object, **whole)[:2] == (503, "ServiceUnavailable")
        assert failed(client.delete_object, **whole)[:2] == (503, "ServiceUnavailable")
        assert store.ask("GET", "/training-data/corpora/support/new.txt").status == 404
        assert store.ask("GET", "/training-data/corpora/support/a.txt").body == b"seed"
        until(lambda: _ready(auditor) == 503, "unreadiness")

        (tmp_path / "ballast").unlink()
        until(lambda: _ready(auditor) == 200, "readiness")
        client.put_object(**new, Body=b"recorded")
        assert chain.training().get_object(**new)["Body"].read() == b"recorded"
        recorded = [query["key"] for query in auditor.records("query") if query["operation"] == "PutObject"]
        assert recorded.count(new["Key"]) == 1
        auditor.end()
    auditor.config["journal"]["directory"] = own
    auditor.start()


def _ready(auditor: Auditor) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", auditor.config["health_port"], timeout=10)
    connection.request("GET", "/readyz")
    return connection.getresponse().status
