"""A server on the loopback interface whose delays are known, and the collector to measure it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CALIBRATION = Path(__file__).parents[2] / "calibration"
sys.path.append(str(CALIBRATION))

METRICS = """\
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",num_gpu_blocks="1000",enable_prefix_caching="True"} 1.0
"""


class FakeServer:
    """Streams token ids after fixed delays; what it was asked is kept.

    Parameters
    ----------
    ttft_s, gap_s : float
        Delays before the first and each further token.
    with_ids : bool
        Whether it tells the ids of its tokens.
    reply : bytes or None
        Answers every completion with these bytes in place of a stream.
    heed_length : bool
        Whether it makes as many tokens as asked for.
    on_request : callable
        Called with the number of completions asked for.
    """

    def __init__(
        self,
        *,
        ttft_s: float = 0.0,
        gap_s: float = 0.0,
        with_ids: bool = True,
        reply: bytes | None = None,
        heed_length: bool = True,
        on_request: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.outputs: list[list[int]] = []
        self.delays = ttft_s, gap_s
        self.reply = reply
        self._with_ids, self._heed_length = with_ids, heed_length
        self._on_request = on_request
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._client, "127.0.0.1", 0)
        )
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def stop(self) -> None:
        """Close everything, whoever is waiting."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int((head.lower().partition("content-length:")[2].split() or ["0"])[0])
            body = await reader.readexactly(length)
            if head.startswith("GET"):
                self._get(head.split()[1], writer)
            else:
                await self._complete(json.loads(body), writer)
            await writer.drain()
        except (OSError, EOFError):
            pass  # the client went away
        finally:
            writer.close()

    def _get(self, path: str, writer: asyncio.StreamWriter) -> None:
        found = {
            "/v1/models": json.dumps({"data": [{"id": "m", "max_model_len": 4096}]}),
            "/version": json.dumps({"version": "0.32.0"}),
            "/metrics": METRICS,
        }.get(path, "")
        status = "200 OK" if found else "404 Not Found"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(found)}\r\n\r\n{found}".encode())

    async def _complete(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.bodies.append(body)
        number = len(self.bodies)
        self._on_request(number)
        if self.reply is not None:
            writer.write(self.reply)
            return
        count = body["max_tokens"] if self._heed_length else 1
        made = [number * 1000 + place for place in range(count)]
        self.outputs.append(made)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for place, token in enumerate(made):
            await asyncio.sleep(self.delays[place > 0])
            choice = {"text": "", "token_ids": [token]} if self._with_ids else {"text": "x"}
            _send(writer, {"choices": [choice]})
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": count}
        _send(writer, {"choices": [], "usage": usage})
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")


def _send(writer: asyncio.StreamWriter, piece: dict[str, Any]) -> None:
    _chunk(writer, f"data: {json.dumps(piece)}\n\n".encode())


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    """Starts a fake server with the given behaviour; it is stopped at the end."""
    started: list[FakeServer] = []

    def start(**behaviour: Any) -> FakeServer:
        started.append(FakeServer(**behaviour))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def collect() -> Callable[..., int]:
    """The collector's main function."""
    spec = importlib.util.spec_from_file_location("collector", CALIBRATION / "collect.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(url: str, folder: Path, *arguments: str) -> int:
        fixed = ["--url", url, "--model", "m", "--gpu", "l4", "--as", "qwen2.5-14b-awq"]
        return int(module.main([*fixed, "-o", str(folder), *arguments]))

    return run
