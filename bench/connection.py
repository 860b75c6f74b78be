"""A keep-alive HTTP/1.1 connection that retries nothing."""

from __future__ import annotations

import asyncio

ANSWER_LIMIT = 60.0  # seconds; latency is allowed during a hand-over, silence is not


class RequestError(Exception):
    """A request that was not answered as it should be."""


class Connection:
    """One keep-alive HTTP/1.1 connection."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.opened = 0

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send one request and return status and body. Raises RequestError."""
        try:
            await self._ready()
            assert self._reader is not None
            assert self._writer is not None
            head = f"{method} {path} HTTP/1.1\r\nHost: {self._address[0]}\r\nContent-Length: {len(body)}\r\n\r\n"
            self._writer.write(head.encode() + body)
            return await asyncio.wait_for(self._answer(), ANSWER_LIMIT)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            self.close()
            raise RequestError(f"{type(error).__name__}: {error}") from None

    async def _ready(self) -> None:
        if self._writer is not None and self._reader is not None and not self._reader.at_eof():
            return
        self.close()
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        self.opened += 1

    async def _answer(self) -> tuple[int, bytes]:
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await self._chunks()
        else:
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, body

    async def _chunks(self) -> bytes:
        assert self._reader is not None
        parts = []
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readuntil(b"\r\n")
        return b"".join(parts)

    def close(self) -> None:
        """Drop the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
