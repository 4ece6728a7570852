"""A trace format: CSV with the columns session, wait_s, input_tokens, output_tokens.

Each row is a call, sent so long after the answer of the session's call before it. Each prompt goes
on from the prompt and the answer before it.
"""

from __future__ import annotations

from msgspec.structs import replace

from agentsim.domain.trace import Call, Session, Trace
from agentsim.domain.units import seconds_to_ns
from agentsim.workload.formats import Format
from agentsim.workload.lines import Lines

HEAD = b"session,wait_s,input_tokens,output_tokens"


def read_csv(lines: Lines) -> Trace:
    """The trace of a file."""
    sessions: dict[str, list[Call]] = {}
    for number, line in lines:
        if number == 1 and is_csv(line):
            continue
        try:
            name, wait_s, prompt, output = line.decode().split(",")
            sizes = {"input_tokens": int(prompt), "output_tokens": int(output)}
            wait_ns = seconds_to_ns(float(wait_s))
            if min(wait_ns, *sizes.values()) < 0:
                raise ValueError("a value below 0")
        except (ValueError, OverflowError) as error:
            raise lines.error(f"expected {HEAD.decode()}: {error}", number) from None
        calls = sessions.setdefault(name, [])
        call = Call(str(len(calls)), **sizes, delay_ns=wait_ns)
        if calls:
            base = calls[-1]
            keep = min(call.input_tokens, base.input_tokens + base.output_tokens)
            call = replace(call, after=(base.id,), extends=base.id, keep=keep)
        calls.append(call)
    return Trace(Session(name, tuple(calls)) for name, calls in sessions.items())


def is_csv(line: bytes) -> bool:
    """Whether a file that begins with this line is one."""
    return line.strip() == HEAD


CSV = Format(
    about="CSV: session, wait_s, input_tokens, output_tokens",
    detect=lambda record: False,
    read=read_csv,
    detect_line=is_csv,
)
