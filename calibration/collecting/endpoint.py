"""An OpenAI-compatible server over HTTP: one streamed completion, and when each piece of it came.

The connection is made before the clock starts, one for each request, so that a time to first token
is the server's and the network's. What comes is stamped first and parsed after the last byte.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agentsim.domain.units import NS_PER_S
from agentsim.errors import UserError

#: Seconds within which a server must say what it is.
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion as the client saw it. Times are nanoseconds of one steady clock.

    Attributes
    ----------
    sent_ns, end_ns : int
        The request's first byte; the last token, or when the client gave up.
    event_ns : tuple of int
        Arrival of each piece with tokens.
    ok : bool
        False: the client gave up.
    prompt_tokens, output_tokens, cached_tokens : int or None
        As the server counts them; None where it does not say.
    token_ids : tuple of int
        The answer's tokens; empty where the server does not tell them.
    """

    sent_ns: int
    end_ns: int
    event_ns: tuple[int, ...] = ()
    ok: bool = True
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server listens. Made by `parse`."""

    url: str
    host: str
    port: int
    is_https: bool
    path: str

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """The server at a URL; ``/v1`` at its end may be left out.

        Raises
        ------
        UserError
            If it is no http or https URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"--url: expected a URL such as http://127.0.0.1:8000, got {url!r}")
        path = parts.path.rstrip("/").removesuffix("/v1")
        return cls(url.rstrip("/"), parts.hostname, port, parts.scheme == "https", path)

    async def fetch(self, path: str) -> str | None:
        """The text at a path; None where the server has nothing there.

        Raises
        ------
        UserError
            If the server cannot be reached or does not answer in time.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await self._connect()
                try:
                    writer.write(self._head("GET", path, 0))
                    status, headers = await self._status(reader)
                    body = b"".join([data async for data in _body(reader, headers)])
                finally:
                    writer.close()
        except TimeoutError:
            raise UserError(f"{self.url}{path}: no answer within {_PATIENCE_S:.0f} s") from None
        except (OSError, EOFError, ValueError) as error:
            raise self._broken(error) from error
        return body.decode("utf-8", "replace") if status == 200 else None

    async def complete(self, body: dict[str, Any], timeout_s: float) -> Answer:
        """Stream one completion.

        Parameters
        ----------
        body : dict
            What is posted to ``/v1/completions``.
        timeout_s : float
            The client gives up after so many seconds.

        Raises
        ------
        UserError
            If the server cannot be reached, refuses, or answers what is not understood.
        """
        data = json.dumps(body, separators=(",", ":")).encode()
        lines: list[tuple[int, bytes]] = []
        sent_ns = time.perf_counter_ns()
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await self._connect()
                try:
                    sent_ns = time.perf_counter_ns()
                    writer.write(self._head("POST", "/v1/completions", len(data)) + data)
                    status, headers = await self._status(reader)
                    async for piece in _lines(_body(reader, headers)):
                        lines.append((time.perf_counter_ns(), piece))
                finally:
                    writer.close()
        except TimeoutError:
            return Answer(sent_ns, sent_ns + round(timeout_s * NS_PER_S), ok=False)
        except (OSError, EOFError, ValueError) as error:
            raise self._broken(error) from error
        if status != 200:
            raise UserError(f"{self.url}: HTTP {status}: {_reason(lines)}")
        return self._answer(sent_ns, lines)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port, ssl=self.is_https or None)

    def _head(self, method: str, path: str, length: int) -> bytes:
        return (
            f"{method} {self.path}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Connection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n"
        ).encode()

    async def _status(self, reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
        first = await reader.readline()
        words = first.split()
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise UserError(f"{self.url}: not an HTTP server: it answers {first[:60]!r}")
        headers = {}
        while line := (await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(words[1]), headers

    def _broken(self, error: BaseException) -> UserError:
        if isinstance(error, ConnectionRefusedError):
            return UserError(f"{self.url}: refuses connections: is the server running?")
        if isinstance(error, EOFError):
            return UserError(f"{self.url}: an answer broke off")
        return UserError(f"{self.url}: {getattr(error, 'strerror', None) or error}")

    def _answer(self, sent_ns: int, lines: list[tuple[int, bytes]]) -> Answer:
        events: list[int] = []
        token_ids: list[int] = []
        usage: dict[str, Any] = {}
        is_done = False
        for at_ns, line in lines:
            if not line.startswith(b"data:"):
                continue
            text = line[5:].strip()
            if text == b"[DONE]":
                is_done = True
                continue
            piece = self._piece(text)
            usage = piece.get("usage") or usage
            for choice in piece.get("choices") or ():
                events.append(at_ns)
                token_ids += choice.get("token_ids") or ()
        if not events:
            shown = lines[0][1][:60] if lines else b""
            raise UserError(f"{self.url}: expected a stream of completions, got {shown!r}")
        if not is_done:
            raise UserError(f"{self.url}: an answer broke off after {len(events)} pieces")
        details = usage.get("prompt_tokens_details") or {}
        return Answer(
            sent_ns,
            events[-1],
            tuple(events),
            prompt_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
            cached_tokens=details.get("cached_tokens"),
            token_ids=tuple(token_ids),
        )

    def _piece(self, text: bytes) -> dict[str, Any]:
        try:
            piece = json.loads(text)
        except ValueError:
            piece = None
        if not isinstance(piece, dict):
            raise UserError(f"{self.url}: expected JSON in the stream, got {text[:60]!r}")
        if piece.get("error"):
            raise UserError(f"{self.url}: {_reason([(0, text)])}")
        return piece


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int((await reader.readline()).partition(b";")[0] or b"0", 16):
            yield (await reader.readexactly(size + 2))[:-2]
    elif "content-length" in headers:
        yield await reader.readexactly(int(headers["content-length"]))
    else:
        while data := await reader.read(65536):
            yield data


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for data in body:
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            if line := line.strip():
                yield line
    if rest.strip():
        yield rest.strip()


def _reason(lines: list[tuple[int, bytes]]) -> str:
    """What the server says is wrong, in one line."""
    text = b" ".join(line for _, line in lines).decode("utf-8", "replace")
    try:
        said: Any = json.loads(text)
        for name in ("error", "message", "detail"):
            said = said.get(name, said) if isinstance(said, dict) else said
    except ValueError:
        said = text
    return " ".join(str(said).split())[:200] or "without a reason"
