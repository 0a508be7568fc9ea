"""Stores from end to end: gates, auditors and rclone as rendered, asked by boto3 and s3fs (ZT-12, 13, 14, 23, 30)."""

import base64
import hashlib
import http.client
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError, SSLError

from cloister.auditor.s3.documents import listed
from cloister.journal.verify import verify
from cloister.zones import Component
from tests.gate.specs import deployment, example
from tests.store.chain import KEY, Chain, memory, of, running_chain, spiffe
from tests.store.running import until

DATA, WEIGHTS, LOGS = Component.TRAINING_DATA, Component.CHECKPOINTS, Component.INTERACTION_LOGS
INGEST = spiffe("etl", "ingest")
EVALUATOR = spiffe("release", "evaluator")
SECURITY = spiffe("security", "auditor")
TRAINING, INFERENCE = of(Component.TRAINING), of(Component.INFERENCE)


def spec() -> dict[str, Any]:
    """The example, with readers of raw data."""
    found = example("support-bot")
    found["training"]["mask"] = []
    found["storage"]["checkpoints"]["readers"][0]["raw"] = True
    return found


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """All of it."""
    with running_chain(deployment(spec())) as found:
        found.stores[DATA].ask("PUT", "/training-data/corpora/support/seed.txt", body=b"seed")
        found.stores[DATA].ask("PUT", "/training-data/corpora/sales/seed.txt", body=b"other")
        found.stores[WEIGHTS].ask("PUT", "/checkpoints/support-bot/model.gguf", body=b"weights")
        found.stores[WEIGHTS].ask("PUT", "/checkpoints/other/model.gguf", body=b"others")
        found.stores[LOGS].ask("PUT", "/interaction-logs/support-bot-inference/inference/1.seg", body=b"sealed")
        yield found


def refused(call: Any, *codes: int, **arguments: Any) -> str:
    """S3's code of a query that must be refused."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] in (codes or (403,)), response
    return str(response["Error"]["Code"])


class TestClients:
    """What users run, unchanged."""

    @pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 3 << 20])
    def test_an_object_comes_back_as_it_was_put(self, chain: Chain, size: int) -> None:
        body = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
        body = body[:size]
        key = f"corpora/support/size-{size}.bin"
        chain.client(DATA, INGEST).put_object(Bucket=DATA, Key=key, Body=body)
        found = chain.training().get_object(Bucket=DATA, Key=key)
        assert found["ContentLength"] == size
        assert found["Body"].read() == body

    @pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
    def test_every_checksum_of_the_clients(self, chain: Chain, algorithm: str) -> None:
        for client, bucket, key in (
            (chain.client(DATA, INGEST), DATA, "corpora/support/sum"),
            (chain.training(), WEIGHTS, "support-bot/sum"),
        ):
            client.put_object(Bucket=bucket, Key=key, Body=b"checked" * 999, ChecksumAlgorithm=algorithm)
        assert chain.training().get_object(Bucket=WEIGHTS, Key="support-bot/sum")["Body"].read() == b"checked" * 999

    def test_multipart_uploads(self, chain: Chain) -> None:
        body = bytes(range(256)) * (80 << 10)  # 20 MiB: three parts
        for client, bucket, key in (
            (chain.client(DATA, INGEST), DATA, "corpora/support/big"),
            (chain.training(), WEIGHTS, "support-bot/big"),
        ):
            client.upload_fileobj(io.BytesIO(body), bucket, key)
            target = io.BytesIO()
            chain.training().download_fileobj(bucket, key, target)
            assert target.getvalue() == body
        asked = chain.auditors[WEIGHTS].records("query")
        operations = {q["operation"] for q in asked if q.get("key") == "support-bot/big"}
        assert {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"} <= operations

    def test_an_upload_that_is_given_up(self, chain: Chain) -> None:
        client = chain.client(DATA, INGEST)
        made = client.create_multipart_upload(Bucket=DATA, Key="corpora/support/never")
        part = {"Bucket": DATA, "Key": "corpora/support/never", "UploadId": made["UploadId"]}
        client.upload_part(**part, PartNumber=1, Body=b"x" * 100)
        assert [p["Size"] for p in client.list_parts(**part)["Parts"]] == [100]
        client.abort_multipart_upload(**part)
        assert refused(client.list_parts, 404, **part) == "NoSuchUpload"

    def test_an_upload_belongs_to_its_key(self, chain: Chain) -> None:
        client = chain.client(DATA, INGEST)
        made = client.create_multipart_upload(Bucket=DATA, Key="corpora/a")
        refused(
            client.upload_part, 404, Bucket=DATA, Key="corpora/b", UploadId=made["UploadId"], PartNumber=1, Body=b"x"
        )

    def test_ranges_and_conditions(self, chain: Chain) -> None:
        chain.client(DATA, INGEST).put_object(Bucket=DATA, Key="corpora/support/range", Body=b"0123456789")
        client = chain.training()
        whole = {"Bucket": DATA, "Key": "corpora/support/range"}
        for asked, expected in (("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-2", b"89")):
            found = client.get_object(**whole, Range=asked)
            assert (found["Body"].read(), found["ResponseMetadata"]["HTTPStatusCode"]) == (expected, 206)
        assert refused(client.get_object, 416, **whole, Range="bytes=100-200") == "InvalidRange"
        assert refused(client.get_object, 400, **whole, Range="bytes=0-1,3-4") == "InvalidRange"
        etag = client.head_object(**whole)["ETag"]
        assert client.get_object(**whole, IfMatch=etag)["Body"].read() == b"0123456789"
        refused(client.get_object, 304, **whole, IfNoneMatch=etag)

    def test_what_is_not_there(self, chain: Chain) -> None:
        client = chain.training()
        with pytest.raises(client.exceptions.NoSuchKey):
            client.get_object(Bucket=DATA, Key="corpora/support/nothing")
        assert refused(client.head_object, 404, Bucket=DATA, Key="corpora/support/nothing") == "404"

    def test_s3fs(self, chain: Chain) -> None:
        files = chain.files()
        with files.open("checkpoints/support-bot/run/a.txt", "w") as out:
            out.write("hello\n" * 1000)
        with files.open("checkpoints/support-bot/run/a.txt") as source:
            source.seek(6)
            assert source.read(5) == b"hello"
        files.pipe({"checkpoints/support-bot/run/b/c.bin": b"c", "checkpoints/support-bot/run/b/d.bin": b"d"})
        assert sorted(files.find("checkpoints/support-bot/run")) == [
            "checkpoints/support-bot/run/a.txt",
            "checkpoints/support-bot/run/b/c.bin",
            "checkpoints/support-bot/run/b/d.bin",
        ]
        assert files.isdir("checkpoints/support-bot/run/b")
        assert files.exists("checkpoints/support-bot")
        assert files.ls("") == ["checkpoints", "training-data"]
        assert files.ls("training-data") == ["training-data/corpora"]
        assert files.ls("training-data/corpora") == ["training-data/corpora/support"]
        assert "training-data/corpora/support/seed.txt" in files.glob("training-data/corpora/support/*.txt")
        files.makedirs("checkpoints/support-bot/new/folder", exist_ok=True)
        files.rm("checkpoints/support-bot/run", recursive=True)
        assert not files.exists("checkpoints/support-bot/run/a.txt")
        with pytest.raises(PermissionError):
            files.cat("training-data/corpora/sales/seed.txt")

    def test_s3fs_keeps_to_the_flow_table(self, chain: Chain) -> None:
        """What a training program may not do fails with it, too, and changes nothing."""

        def stored() -> list[bytes]:
            return [chain.stores[store].ask("GET", f"/{store}?list-type=2").body for store in (DATA, WEIGHTS)]

        files, before = chain.files(), stored()
        corpora, others = "training-data/corpora", "checkpoints/other"
        refused: tuple[Callable[[], Any], ...] = (
            lambda: files.ls(f"{corpora}/sales"),
            lambda: files.find(f"{corpora}/sales"),
            lambda: files.ls(others),
            lambda: files.info(f"{others}/model.gguf"),
            lambda: files.cat(f"{others}/model.gguf"),
            lambda: files.open(f"{others}/model.gguf").read(),
            lambda: files.pipe_file(f"{corpora}/support/new.txt", b"x"),
            lambda: files.pipe_file(f"{others}/new.txt", b"x"),
            lambda: files.rm_file(f"{corpora}/support/seed.txt"),
            lambda: files.rm(f"{corpora}/support", recursive=True),
            lambda: files.rm(f"{others}/model.gguf"),
            lambda: files.mv(f"{corpora}/support/seed.txt", "checkpoints/support-bot/seed.txt"),
            lambda: files.copy(f"{others}/model.gguf", "checkpoints/support-bot/stolen"),
            lambda: files.ls("interaction-logs"),
            lambda: files.cat("interaction-logs/support-bot-inference/inference/1.seg"),
        )
        for call in refused:
            with pytest.raises(OSError):  # noqa: PT011 - PermissionError, or that it is not there
                call()
        assert stored() == before

    def test_listings(self, chain: Chain) -> None:
        client = chain.training()
        for index in range(5):
            client.put_object(Bucket=WEIGHTS, Key=f"support-bot/list/{index} ü&.txt", Body=b"x")
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=WEIGHTS, Prefix="support-bot/list/", PaginationConfig={"PageSize": 2}
        )
        found = [item["Key"] for page in pages for item in page["Contents"]]
        assert found == [f"support-bot/list/{index} ü&.txt" for index in range(5)]
        old = client.list_objects(Bucket=WEIGHTS, Prefix="support-bot/list/", Marker="support-bot/list/3 ü&.txt")
        assert [item["Key"] for item in old["Contents"]] == ["support-bot/list/4 ü&.txt"]
        assert [b["Name"] for b in client.list_buckets()["Buckets"]] == ["checkpoints", "training-data"]
        client.head_bucket(Bucket=WEIGHTS)


KEYS = {
    DATA: ("corpora/support/seed.txt", "corpora/sales/seed.txt", "corpora", "other/a"),
    WEIGHTS: ("support-bot/model.gguf", "other/model.gguf", "support-bot", "support-bot-2/a"),
    LOGS: ("support-bot-inference/inference/1.seg", "support-bot-storage/checkpoints/1.seg", "x", "y/z"),
}
READS = {
    (TRAINING, DATA): ("corpora/support/",),
    (TRAINING, WEIGHTS): ("support-bot/",),
    (INFERENCE, WEIGHTS): ("support-bot/model.gguf",),
    (EVALUATOR, WEIGHTS): ("support-bot/",),
    (SECURITY, LOGS): ("",),
}
WRITES = {(TRAINING, WEIGHTS): "support-bot/", (INGEST, DATA): "corpora/"}
APPENDS = {
    (identity, LOGS): f"{identity.split('/')[-3]}/{identity.split('/')[-1]}/"
    for identity in (TRAINING, INFERENCE, of(DATA), of(WEIGHTS))
}
PRINCIPALS = (TRAINING, INFERENCE, of(DATA), of(WEIGHTS), INGEST, EVALUATOR, SECURITY, spiffe("web", "frontend"))


@pytest.mark.parametrize("store", [DATA, WEIGHTS, LOGS], ids=str)
@pytest.mark.parametrize("identity", PRINCIPALS)
def test_exactly_the_flow_table(chain: Chain, identity: str, store: Component) -> None:
    """Every principal, verb and prefix at the gate of each store: allowed is what the table says, and nothing else."""
    client = chain.client(store, identity)
    who = (identity, store)

    def allowed(call: Any, **arguments: Any) -> bool:
        try:
            call(Bucket=store, **arguments)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status not in (403, 404, 412):
                raise
            return bool(status != 403)
        except (SSLError, HTTPClientError):  # the gate ends the handshake of strangers in one of several ways
            return False
        return True

    for key in KEYS[store]:
        reads = any(key.startswith(prefix) for prefix in READS.get(who, ()))
        writes = who in WRITES and key.startswith(WRITES[who])
        appends = who in APPENDS and key.startswith(APPENDS[who])
        assert allowed(client.get_object, Key=key) == reads, key
        assert allowed(client.head_object, Key=key) == reads, key
        listed = reads and identity != INFERENCE
        assert allowed(client.list_objects_v2, Prefix=key) == listed, key
        assert allowed(client.list_objects, Prefix=key) == listed, key
        new = key + "-new"
        assert allowed(client.put_object, Key=new, Body=b"new") == (writes or appends), key
        if appends:
            assert refused(client.put_object, 412, Bucket=store, Key=new, Body=b"again") == "PreconditionFailed"
        assert allowed(client.create_multipart_upload, Key=new) == writes, key
        assert allowed(client.delete_object, Key=new) == writes, key
        assert allowed(client.delete_objects, Delete={"Objects": [{"Key": new}]}) == writes, key
    everything = who == (SECURITY, LOGS)
    assert allowed(client.list_objects_v2) == everything
    assert allowed(client.list_objects_v2, Prefix="corpora") == everything


FOLDERS = {
    DATA: ("corpora/support", "corpora/sales"),
    WEIGHTS: ("support-bot", "other"),
    LOGS: ("support-bot-inference/inference", "support-bot-storage/checkpoints"),
}


@pytest.mark.parametrize("store", [DATA, WEIGHTS, LOGS], ids=str)
@pytest.mark.parametrize("identity", PRINCIPALS)
def test_exactly_the_flow_table_with_s3fs(chain: Chain, identity: str, store: Component) -> None:
    """The same with files and folders, as programs see them that know nothing of S3."""
    files, who = chain.files_at(store, identity), (identity, store)

    def allowed(call: Any, *arguments: Any) -> bool:
        try:
            call(*arguments)
        except FileNotFoundError:
            return True
        # The gate ends the handshake of strangers in one of several ways.
        except (OSError, EndpointConnectionError, HTTPClientError, SSLError):
            return False
        return True

    for key in KEYS[store]:
        path, new = f"{store}/{key}", f"{store}/{key}-file"
        reads = any(key.startswith(prefix) for prefix in READS.get(who, ()))
        writes = who in WRITES and key.startswith(WRITES[who])
        appends = who in APPENDS and key.startswith(APPENDS[who])
        assert allowed(files.cat_file, path) == reads, key
        assert allowed(files.pipe_file, new, b"new") == (writes or appends), key
        if appends:
            assert not allowed(files.pipe_file, new, b"again"), key
        assert allowed(files.rm_file, new) == writes, key
    for folder in FOLDERS[store]:
        chain.stores[store].ask("PUT", f"/{store}/{folder}/listed", body=b"")
        listed = identity != INFERENCE and any(f"{folder}/".startswith(prefix) for prefix in READS.get(who, ()))
        assert allowed(files.ls, f"{store}/{folder}") == listed, folder
        assert allowed(files.find, f"{store}/{folder}") == listed, folder


class TestBypasses:
    """What was tried against rclone alone, and worked."""

    def test_copying_from_elsewhere(self, chain: Chain) -> None:
        source = {"Bucket": str(DATA), "Key": "secret/a"}
        client = chain.client(DATA, INGEST)
        refused(client.copy_object, Bucket=DATA, Key="corpora/stolen", CopySource=source)
        source = {"Bucket": str(WEIGHTS), "Key": "other/model.gguf"}
        code = refused(chain.training().copy_object, 501, Bucket=WEIGHTS, Key="support-bot/stolen", CopySource=source)
        assert code == "NotImplemented"
        refused(chain.training().get_object, 404, Bucket=WEIGHTS, Key="support-bot/stolen")

    @pytest.mark.parametrize("key", ["other/keep", "corpora-2/keep", "corpora"])
    def test_deleting_what_only_the_body_names(self, chain: Chain, key: str) -> None:
        chain.stores[DATA].ask("PUT", f"/training-data/{key}x", body=b"keep")
        client = chain.client(DATA, INGEST)
        client.put_object(Bucket=DATA, Key="corpora/mine", Body=b"x")
        asked = {"Objects": [{"Key": "corpora/mine"}, {"Key": f"{key}x"}]}
        assert refused(client.delete_objects, Bucket=DATA, Delete=asked) == "AccessDenied"
        assert chain.stores[DATA].ask("GET", f"/training-data/{key}x").status == 200
        assert chain.stores[DATA].ask("GET", "/training-data/corpora/mine").status == 200

    @pytest.mark.parametrize(
        ("method", "target", "headers"),
        [
            ("GET", "/training-data/corpora/support/../sales/seed.txt", {}),
            ("GET", "/training-data/corpora/support/%2e%2e/sales/seed.txt", {}),
            ("GET", "/training-data/corpora/support/..%2fsales/seed.txt", {}),
            ("GET", "/training-data/corpora/support//seed.txt", {}),
            ("GET", "/training-data/corpora/support/./seed.txt", {}),
            ("GET", "/training-data/corpora/support%2fseed.txt", {}),
            ("GET", "/training-data/corpora/support/%252e%252e/x", {}),
            ("GET", "/training-data/corpora/support/a%00", {}),
            ("GET", "/training-data/corpora/support/%c0%ae%c0%ae/x", {}),
            ("GET", "/training-data/corpora/support/%ff", {}),
            ("GET", "/training-data/corpora/support/..\\sales\\seed.txt", {}),
            ("GET", "/training-data/corpora/support/%EF%BC%8E%EF%BC%8E/x", {}),
            ("GET", "/training-data/corpora/support/" + "a" * 1100, {}),
            ("GET", "/training-data/corpora/support/seed.txt?acl", {}),
            ("GET", "/training-data/corpora/support/seed.txt?versionId=null", {}),
            ("GET", "/training-data/corpora/support/seed.txt?response-content-type=text/html", {}),
            ("GET", "/training-data/corpora/support/seed.txt?X-ID=1", {}),
            ("GET", "/training-data?list-type=2&prefix=corpora/support/&prefix=", {}),
            ("GET", "/training-data?list-type=2&prefix=corpora/support/../sales/", {}),
            ("GET", "/training-data?list-type=2&prefix=corpora/support/%2e%2e", {}),
            ("GET", "/training-data?versions&prefix=corpora/support/", {}),
            ("GET", "/training-data?list-type=2&prefix=", {}),
            ("GET", "//training-data/corpora/support/seed.txt", {}),
            ("GET", "/Training-Data/corpora/support/seed.txt", {}),
            ("GET", "http://elsewhere/training-data/corpora/support/seed.txt", {}),
            ("PUT", "/training-data/corpora/support/x", {}),
            ("PUT", "/checkpoints", {}),
            ("DELETE", "/checkpoints", {}),
            ("POST", "/checkpoints", {}),
            ("POST", "/checkpoints/support-bot/x?restore", {}),
            ("PUT", "/checkpoints/support-bot/x?tagging", {}),
            ("PUT", "/checkpoints/support-bot/x", {"x-amz-acl": "public-read"}),
            ("PUT", "/checkpoints/support-bot/x", {"x-amz-tagging": "a=b"}),
            ("PUT", "/checkpoints/support-bot/x", {"x-amz-website-redirect-location": "/y"}),
            ("PUT", "/checkpoints/support-bot/x", {"X-Amz-Copy-Source": "/checkpoints/other/model.gguf"}),
            ("PUT", "/checkpoints/support-bot/x", {"x-amz-server-side-encryption": "AES256"}),
            ("PUT", "/checkpoints/support-bot/x", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}),
            ("PUT", "/checkpoints/support-bot/x", {"x-amz-checksum-crc32": "AAAAAA=="}),
            ("PUT", "/checkpoints/support-bot/x", {"x-amz-content-sha256": "0" * 64}),
            ("PATCH", "/checkpoints/support-bot/x", {}),
        ],
    )
    def test_its_kin(self, chain: Chain, method: str, target: str, headers: dict[str, str]) -> None:
        """Exactly as written, at training's endpoint, where no gate stands before the auditor."""
        stored = chain.stores[WEIGHTS].ask("GET", "/checkpoints?list-type=2").body
        reply = raw(chain, method, target, headers, b"body" if method == "PUT" else b"")
        assert reply.status in (400, 403, 501), reply.read()
        assert b"<Error><Code>" in reply.read()
        assert chain.stores[WEIGHTS].ask("GET", "/checkpoints?list-type=2").body == stored
        request_id = reply.headers["x-amz-request-id"]
        (recorded,) = [
            record
            for record in chain.auditors[Component.TRAINING].records("refusal", "result")
            if record["exchange"] == request_id
        ]
        assert recorded["status"] == reply.status


def raw(chain: Chain, method: str, target: str, headers: dict[str, str], body: bytes) -> http.client.HTTPResponse:
    """One request, its target exactly as given."""
    connection = http.client.HTTPConnection(urlsplit(chain.training_endpoint).netloc, timeout=30)
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in {**headers, **({"Content-Length": str(len(body))} if body else {})}.items():
        connection.putheader(name, value)
    connection.endheaders(body or None)
    return connection.getresponse()


class TestRecords:
    """Who asked what, before it happened, and what became of it (ZT-13, ZT-30)."""

    def test_a_query_and_its_outcome(self, chain: Chain) -> None:
        client = chain.training()
        client.put_object(Bucket=WEIGHTS, Key="support-bot/recorded", Body=b"0123456789")
        found = client.get_object(Bucket=WEIGHTS, Key="support-bot/recorded", Range="bytes=2-4")
        assert found["Body"].read() == b"234"
        for component in (Component.TRAINING, WEIGHTS):  # at both ends, each in its own words
            auditor = chain.auditors[component]
            put, get = [q for q in auditor.records("query") if q.get("key") == "support-bot/recorded"]
            assert (put["operation"], put["bucket"], put["bytes"]) == ("PutObject", "checkpoints", 10)
            assert (get["operation"], get["range"], get["peer"]) == ("GetObject", "bytes=2-4", TRAINING)
            result = auditor.outcome(get["exchange"])
            assert (result["status"], result["outcome"], result["bytes"]) == (206, "complete", 3)
            assert auditor.outcome(put["exchange"])["bytes"] == 10

    def test_keys_of_a_deletion(self, chain: Chain) -> None:
        client = chain.client(DATA, INGEST)
        keys = ["corpora/gone-1", "corpora/gone-2"]
        for key in keys:
            client.put_object(Bucket=DATA, Key=key, Body=b"x")
        client.delete_objects(Bucket=DATA, Delete={"Objects": [{"Key": key} for key in keys]})
        (asked,) = [q for q in chain.auditors[DATA].records("query") if q.get("keys") == keys]
        assert chain.auditors[DATA].outcome(asked["exchange"])["status"] == 200

    def test_a_refusal(self, chain: Chain) -> None:
        with pytest.raises(ClientError) as caught:
            chain.training().get_object(Bucket=DATA, Key="corpora/sales/seed.txt")
        request_id = caught.value.response["ResponseMetadata"]["RequestId"]
        (refusal,) = [r for r in chain.auditors[Component.TRAINING].records("refusal") if r["exchange"] == request_id]
        assert (refusal["code"], refusal["key"], refusal["status"]) == ("AccessDenied", "corpora/sales/seed.txt", 403)

    def test_an_upload_that_broke_off(self, chain: Chain) -> None:
        """Nothing half-visible, nothing lost."""
        chain.training().put_object(Bucket=WEIGHTS, Key="support-bot/kept", Body=b"before")
        connection = http.client.HTTPConnection(urlsplit(chain.training_endpoint).netloc, timeout=30)
        connection.putrequest("PUT", "/checkpoints/support-bot/kept")
        connection.putheader("Content-Length", str(1 << 20))
        connection.endheaders(b"x" * 500_000)
        training = chain.auditors[Component.TRAINING]

        def asked() -> list[dict[str, Any]]:
            return [q for q in training.records("query") if q.get("bytes") == 1 << 20 and q["key"].endswith("/kept")]

        until(lambda: bool(asked()), "the query's record")
        connection.close()
        exchange = asked()[0]["exchange"]
        until(lambda: any(r["exchange"] == exchange for r in training.records("result")), "the outcome's record")
        assert training.outcome(exchange)["outcome"] == "cancelled"
        assert chain.training().get_object(Bucket=WEIGHTS, Key="support-bot/kept")["Body"].read() == b"before"

    @pytest.mark.parametrize("size", [1000, 400_000])
    def test_wrong_digests_leave_nothing(self, chain: Chain, size: int) -> None:
        body = b"y" * size
        wrong = {"Content-MD5": "rL0Y20zC+Fzt72VPzMSk2A==", "Content-Length": str(size)}
        connection = http.client.HTTPConnection(urlsplit(chain.training_endpoint).netloc, timeout=30)
        connection.request("PUT", "/checkpoints/support-bot/wrong", body, wrong)
        answer = connection.getresponse()
        assert (answer.status, b"BadDigest" in answer.read()) == (400, True)
        refused(chain.training().get_object, 404, Bucket=WEIGHTS, Key="support-bot/wrong")

    def test_chunks_and_trailers(self, chain: Chain) -> None:
        """As SDKs send them: decoded before the store, and held to what their trailer says."""
        good = base64.b64encode(zlib.crc32(b"hello world").to_bytes(4, "big")).decode()

        def put(checksum: str) -> int:
            chunked = b"6\r\nhello \r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:" + checksum.encode() + b"\r\n\r\n"
            headers = {
                "Content-Encoding": "aws-chunked",
                "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                "x-amz-decoded-content-length": "11",
                "x-amz-trailer": "x-amz-checksum-crc32",
            }
            return raw(chain, "PUT", "/checkpoints/support-bot/chunked", headers, chunked).status

        assert put(base64.b64encode(bytes(4)).decode()) == 400
        refused(chain.training().get_object, 404, Bucket=WEIGHTS, Key="support-bot/chunked")
        assert put(good) == 200
        assert chain.training().get_object(Bucket=WEIGHTS, Key="support-bot/chunked")["Body"].read() == b"hello world"

    def test_large_objects_in_little_memory(self, chain: Chain) -> None:
        """Up and down, through both auditors."""
        size = 256 << 20
        block = hashlib.sha256(b"block").digest() * (1 << 15)
        connection = http.client.HTTPConnection(urlsplit(chain.training_endpoint).netloc, timeout=120)
        blocks = (block for _ in range(size // len(block)))
        connection.request("PUT", "/checkpoints/support-bot/large", blocks, {"Content-Length": str(size)})
        assert connection.getresponse().status == 200
        body = chain.training().get_object(Bucket=WEIGHTS, Key="support-bot/large")["Body"]
        total = 0
        while piece := body.read(len(block)):
            assert piece == block
            total += len(piece)
        assert total == size
        for component in (Component.TRAINING, WEIGHTS):
            process = chain.auditors[component].process
            assert process
            assert memory(process) < 100 << 20

    def test_without_a_record_there_is_no_answer(self, chain: Chain) -> None:
        """The journal's directory can't be written: nothing is read, nothing is put."""
        auditor = chain.auditors[DATA]
        auditor.end()
        directory = auditor.config["journal"]["directory"]
        auditor.config["journal"]["directory"] = str(chain.root / "nowhere" / "journal")
        (chain.root / "nowhere").write_text("a file where a folder should be")
        with pytest.raises(AssertionError, match="the auditor ended"):
            auditor.start()
        refused(chain.training().get_object, 503, Bucket=DATA, Key="corpora/support/seed.txt")
        auditor.config["journal"]["directory"] = directory
        auditor.start()
        assert chain.training().get_object(Bucket=DATA, Key="corpora/support/seed.txt")["Body"].read() == b"seed"


def test_segments_arrive_and_a_training_pod_ends_after_its_records(chain: Chain) -> None:
    """Of every auditor, in the real store, each once; readable and verified; and the logs' own store comes to rest."""
    logs = chain.auditors[LOGS]
    chain.training().list_objects_v2(Bucket=WEIGHTS, Prefix="support-bot/")
    for component in (Component.TRAINING, DATA, WEIGHTS):
        assert chain.auditors[component].end() == 0
        assert not list(chain.auditors[component].journal.rglob("*.sealed"))
    queries = {q["key"].rsplit("/", 2)[0]: q for q in logs.records("query") if q["operation"] == "PutObject"}
    for component in (Component.TRAINING, DATA, WEIGHTS):
        own = of(component).split("/")
        query = queries[f"{own[-3]}/{own[-1]}"]
        assert query["peer"] == of(component)
        assert logs.outcome(query["exchange"])["status"] in (200, 412)
    assert logs.end() == 0
    reader = chain.stores[LOGS]
    own_prefix = "support-bot-storage/interaction-logs/"
    assert not any(q["key"].startswith(own_prefix) for q in logs.records("query") if "key" in q)
    # What lies in the store, copied out and verified as an auditor does.
    copies = chain.root / "copies"
    for path in listed(reader.ask("GET", "/interaction-logs?list-type=2").body, encoded=False):
        if path.endswith(".cja"):
            target = copies / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(reader.ask("GET", f"/interaction-logs/{path}").body)
    report = verify([copies], [KEY])
    assert report.findings == []
    assert len(report.heads) == 4
