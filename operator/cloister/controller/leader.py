"""Leader election by a Lease: one operator writes, the others keep their caches warm and wait."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import structlog
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.client.models import V1Lease, V1ObjectMeta
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

log = structlog.get_logger(__name__)

LEASE = "cloister"
_LEASE_SECONDS = 15
_RENEW_SECONDS = 10
_RETRY_SECONDS = 2
_CALL_SECONDS = 4.0
"""A call that hangs must not outlive the lease: the library itself sets no bound."""

_NETWORK = (aiohttp.ClientError, TimeoutError, OSError)


class _Lock(LeaseLock):
    """The library's lock, with bounded calls, and network errors as refusals instead of the end of the election."""

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                found: tuple[bool, Any] = await super().get(name, namespace)
                return found
        except _NETWORK as error:
            return False, ApiException(status=0, reason=f"{type(error).__name__}: {error}")

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        # Not super().create(): it passes pretty=True, which kubernetes 37 refuses for not being text.
        lease = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        return await self._bounded(self._create(namespace, lease))

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        return await self._bounded(super().update(name, namespace, updated_record))

    async def release(self) -> None:
        """Give the lease up at a clean end, so that the next leader need not wait for it to expire."""
        held, record = await self.get(self.name, self.namespace)
        if held and record and record.holder_identity == self.identity:
            assert self.lease_reference is not None
            assert self.lease_reference.spec is not None
            self.lease_reference.spec.holder_identity = ""
            await self._bounded(self._replace(self.lease_reference))

    async def _create(self, namespace: str, lease: V1Lease) -> bool:
        try:
            await self.api_instance.create_namespaced_lease(namespace, lease)
        except ApiException as error:
            log.warning("lease not created", error=str(error.reason))
            return False
        return True

    async def _replace(self, lease: V1Lease) -> bool:
        try:
            await self.api_instance.replace_namespaced_lease(name=self.name, namespace=self.namespace, body=lease)
        except ApiException as error:
            log.warning("lease not released", error=str(error.reason))
            return False
        return True

    async def _bounded(self, call: Awaitable[bool]) -> bool:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await call
        except _NETWORK as error:
            log.warning("lease not written", error=f"{type(error).__name__}: {error}")
            return False


async def lead(api: ApiClient, namespace: str, work: Callable[[], Awaitable[None]]) -> None:
    """Wait for the lease, work while it is held, and return when it is lost (or the work ends)."""
    identity = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    lock = _Lock(LEASE, namespace, identity, api)
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    working: list[asyncio.Task[Any]] = []

    async def started() -> None:
        log.info("leading", identity=identity)
        task = asyncio.current_task()
        assert task
        working.append(task)
        try:
            await work()
        except BaseException as error:
            if not ended.done() and not isinstance(error, asyncio.CancelledError):
                ended.set_exception(error)
            raise

    async def stopped() -> None:
        log.error("lease lost", identity=identity)

    election = LeaderElection(Config(lock, _LEASE_SECONDS, _RENEW_SECONDS, _RETRY_SECONDS, started, stopped))
    running = asyncio.ensure_future(election.run())
    try:
        await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
        for one in (running, ended):
            if one.done():
                one.result()
    finally:
        running.cancel()
        # The library leaves the work to itself then; the lease is for the next one when nothing is written any more.
        for task in working:
            task.cancel()
        await asyncio.gather(running, *working, return_exceptions=True)
        await lock.release()
