"""vLLM's own log: prompts with ``--enable-log-requests``, answers with ``--enable-log-outputs``.

Lines are ``Received request ID: ...`` (up to 0.10 with the prompt and its token ids), ``Request ID
details: ...`` (later, at level DEBUG) and ``Generated response ID: ...`` (vLLM,
`entrypoints/logger.py`). Token ids give exact prefixes; sessions are found by them. Times are whole
seconds without a year.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from datetime import datetime

import msgspec

from agentsim.workload.importers.chat import Pieces
from agentsim.workload.importers.linking import hold_loose, link
from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.sink import Sink, digest
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import NS_PER_S

_KIND = "vllm-log"
#: Tokens a block: vLLM's own default.
BLOCK_TOKENS = 16
#: Output where none is logged: the median of 45,542 recorded Claude Code calls.
USUAL_OUTPUT = 217
#: Blocks of requests without an answer so far that are kept; then the oldest are taken as they are.
_MOST_BLOCKS = 2_000_000
#: Where no year is logged.
_YEAR = 2000
_DAY_S = 86_400

_LINES = (b"Received request ", b"Request ", b"Generated response ")
_RECEIVED = re.compile(r"Received request (\S+?): ")
_DETAILS = re.compile(r"Request (\S+?) details: ")
_ANSWERED = re.compile(r"Generated response (\S+?)(?: \(streaming (\w+)\))?: output: ")
_TIME = re.compile(r"(?:(\d{4})-)?(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?")
_IDS = "prompt_token_ids: ["
_MAX_TOKENS = re.compile(r"\bmax_tokens=(\d{1,9})\b")
_FINISH = re.compile(r"finish_reason: (\w+)\s*$")


class _Request(msgspec.Struct):
    """A request so far."""

    start_ns: int | None = None
    input_tokens: int | None = None
    is_counted: bool = False
    blocks: tuple[int, ...] | None = None
    call: LoggedCall | None = None
    max_tokens: int | None = None


def is_vllm_log(file: LogFile) -> bool:
    """Whether a file is text with lines of received requests."""
    is_text = file.head[:1] not in (b"{", b"[")
    return is_text and _RECEIVED.search(file.text) is not None


def read_vllm_log(file: LogFile, sink: Sink) -> None:
    """Read the requests of a file; `link_vllm_log` finds their sessions."""
    reader = _Reader(file, sink)
    for line in file.lines():
        if not any(mark in line.text for mark in _LINES):
            continue
        with sink.guard():
            try:
                text = line.text.decode("utf-8")
            except UnicodeDecodeError:
                raise file.error("not UTF-8 text", line.number) from None
            reader.line(text, line.number)
    reader.close()


def link_vllm_log(sink: Sink) -> None:
    """Give all requests their sessions."""
    link(sink, _KIND)


class _Reader:
    """Puts together what several lines say of a request."""

    def __init__(self, file: LogFile, sink: Sink) -> None:
        self._file, self._sink = file, sink
        self._pieces = Pieces(sink)
        self._open: OrderedDict[str, _Request] = OrderedDict()
        self._blocks = 0
        self._year, self._last_ns = _YEAR, 0

    def line(self, text: str, number: int) -> None:
        """Take a line."""
        if found := _RECEIVED.search(text):
            at_ns = self._time(text[: found.start()], number)
            self._received(found.group(1), text[found.end() :], at_ns, number)
        elif found := _DETAILS.search(text):
            self._prompt(found.group(1), text[found.end() :], number)
        elif (found := _ANSWERED.search(text)) and found.group(2) != "delta":
            at_ns = self._time(text[: found.start()], number)
            self._answered(found.group(1), text[found.end() :], at_ns, number)

    def close(self) -> None:
        """Requests whose answer is not logged are calls too."""
        while self._open:
            self._unanswered(*self._open.popitem(last=False))

    def _received(self, id: str, rest: str, at_ns: int | None, number: int) -> None:
        if id in self._open:
            self._sink.warn("requests received twice; the first counts", id)
            return
        self._open[id] = request = _Request(start_ns=at_ns)
        begin = rest.rfind("params: SamplingParams(")
        if limit := _MAX_TOKENS.search(rest, max(begin, 0)):
            request.max_tokens = int(limit.group(1))
        self._prompt(id, rest, number)

    def _prompt(self, id: str, rest: str, number: int) -> None:
        request = self._open.get(id)
        if request is None:
            return
        begin = rest.rfind(_IDS)
        if begin >= 0:
            ids = self._ids(rest[begin + len(_IDS) :], number)
            request.input_tokens, request.blocks = len(ids), _chained(ids)
            request.is_counted = False
            self._blocks += len(request.blocks)
        elif request.input_tokens is None and rest.startswith(("prompt: '", 'prompt: "')):
            end = max(rest.rfind(f"{mark}, pa") for mark in "'\"")
            self._text(request, rest[len("prompt: ") + 1 : end if end > 0 else len(rest)])
        while self._blocks > _MOST_BLOCKS and len(self._open) > 1:
            self._unanswered(*self._open.popitem(last=False))

    def _text(self, request: _Request, text: str) -> None:
        if not text:
            return
        text = text.replace("\\n", "\n")
        request.input_tokens, request.is_counted = self._sink.count(text), True
        found = self._pieces.flat(text)
        request.call = LoggedCall("", request.input_tokens, 0, pieces=found)

    def _ids(self, text: str, number: int) -> list[int]:
        inner = text.partition("]")[0]
        try:
            return [int(part) for part in inner.split(",")] if inner.strip() else []
        except ValueError:
            raise self._file.error("field 'prompt_token_ids': expected integers", number) from None

    def _answered(self, id: str, rest: str, at_ns: int | None, number: int) -> None:
        request = self._open.pop(id, None)
        if request is None:
            return
        begin = rest.rfind("output_token_ids: [")
        if begin >= 0:
            inner = rest[begin:].partition("[")[2].partition("]")[0]
            outputs, is_counted = (inner.count(",") + 1 if inner.strip() else 0), False
        else:
            end = rest.rfind(", output_token_ids:")
            outputs, is_counted = self._sink.count(rest[1 : max(end - 1, 1)]), True
        finish = _FINISH.search(rest)
        self._done(id, request, outputs, at_ns, is_counted=is_counted,
                   finish=finish.group(1) if finish else None)  # fmt: skip

    def _unanswered(self, id: str, request: _Request) -> None:
        outputs = min(USUAL_OUTPUT, request.max_tokens or USUAL_OUTPUT)
        if request.input_tokens is not None:
            self._sink.warn(f"answers not logged; taken as at most {USUAL_OUTPUT} tokens", id)
        self._done(id, request, outputs, None, is_counted=True, finish=None)

    def _done(
        self,
        id: str,
        request: _Request,
        output_tokens: int,
        end_ns: int | None,
        *,
        is_counted: bool,
        finish: str | None,
    ) -> None:
        self._blocks -= len(request.blocks or ())
        if request.input_tokens is None:
            self._sink.warn("requests whose prompt is not logged; left out", id)
            return
        call = LoggedCall(
            id=id,
            input_tokens=request.input_tokens,
            output_tokens=output_tokens,
            start_ns=request.start_ns,
            end_ns=end_ns,
            blocks=request.blocks,
            block_tokens=BLOCK_TOKENS if request.blocks is not None else 0,
            hides_blocks=True,
            pieces=None if request.blocks is not None or not request.call else request.call.pieces,
            finish=None if finish in (None, "None", "streaming_complete") else finish,
            input_estimated=request.is_counted,
            output_estimated=is_counted,
        )
        hold_loose(self._sink, _KIND, "", call)

    def _time(self, head: str, number: int) -> int | None:
        """The time at the head of a line; a year goes by where months run backwards."""
        found = _TIME.search(head)
        if found is None:
            return None
        year, month, day, hour, minute, second, digits = found.groups()
        moment = f"{year or self._year}-{month}-{day} {hour}:{minute}:{second}+00:00"
        try:
            at = datetime.fromisoformat(moment)
        except ValueError:
            raise self._file.error(f"no such time: {found.group()!r}", number) from None
        at_ns = int(at.timestamp()) * NS_PER_S + int((digits or "").ljust(9, "0"))
        if year is None and at_ns < self._last_ns - 180 * _DAY_S * NS_PER_S:
            self._year += 1
            return self._time(head, number)
        self._last_ns = max(self._last_ns, at_ns)
        return at_ns


def _chained(ids: list[int]) -> tuple[int, ...]:
    """A hash for each block, the last one partial, that stands for all tokens up to its end."""
    found = []
    before = 0
    for at in range(0, len(ids), BLOCK_TOKENS):
        before = digest(f"{before}", ",".join(map(str, ids[at : at + BLOCK_TOKENS])))
        found.append(before)
    return tuple(found)
