"""Make gateway.jsonl of this folder: `python notebooks/data/make_log.py`. The same bytes each time.

Nobody's log: incidents drawn from the shipped profile `sre-incident`, written as a gateway writes
them (LiteLLM's spend logs), without texts. Their speed is that of a made-up API: 0.4 s, 0.1 s for
each thousand prompt tokens and 12 ms for each token of the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agentsim.domain.trace import Session
from agentsim.workload.generate.profile import load_profile
from agentsim.workload.generate.sessions import generate

_START = datetime(2026, 1, 12, 9, tzinfo=UTC)
_SESSIONS, _ARRIVAL = 5, "poisson:0.005"


def records(session: Session) -> Iterator[dict[str, Any]]:
    """A record for each call; all of a session are one after the other."""
    now_s = session.at_ns / 1e9
    for call in session.calls:
        now_s += (call.delay_ns or 0) / 1e9
        end_s = now_s + 0.4 + 0.0001 * call.input_tokens + 0.012 * call.output_tokens
        yield {
            "request_id": f"{session.id}/{call.id}",
            "session_id": session.id,
            "model": "gpt-4o",
            "startTime": _time(now_s),
            "endTime": _time(end_s),
            "prompt_tokens": call.input_tokens,
            "completion_tokens": call.output_tokens,
        }
        now_s = end_s


def _time(seconds: float) -> str:
    return (_START + timedelta(milliseconds=round(1000 * seconds))).isoformat(
        timespec="milliseconds"
    )


def main() -> None:
    """Write the log."""
    sessions = generate(load_profile("sre-incident"), _SESSIONS, seed=7, arrival=_ARRIVAL)
    found = sorted(
        (record for session in sessions for record in records(session)),
        key=lambda record: (record["startTime"], record["request_id"]),
    )
    target = Path(__file__).with_name("gateway.jsonl")
    text = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in found)
    target.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
