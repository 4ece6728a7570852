"""Sessions of an agent on a GPU with room, replayed with each method of speculation."""

from __future__ import annotations

from typing import Any

from agentsim.domain.config import AgentsConfig, Config, EngineConfig
from agentsim.domain.records import Run
from agentsim.domain.speculation import SpeculationConfig
from agentsim.domain.trace import Call, Session, Trace
from agentsim.machine.system import System, build_system
from agentsim.simulator import simulate
from agentsim.speculation import compare

#: method -> what it needs beside a number of drafts
METHODS: dict[str, dict[str, Any]] = {
    "ngram": {},
    "draft_model": {"draft_model": "qwen2.5-0.5b"},
    "eagle": {},
    "eagle3": {},
    "mtp": {},
    "medusa": {},
    "lookahead": {},
    "suffix": {"rate": 0.5},
}
#: Proposals that take no time.
FREE = {"match_step_s": 0.0, "match_sequence_s": 0.0, "match_token_s": 0.0}


def trace(num_sessions: int = 2, num_turns: int = 4, **extra: Any) -> Trace:
    """Sessions of turns that resend what was said, with tools between."""
    sessions = []
    for number in range(num_sessions):
        calls: list[Call] = []
        tokens = 700 + 50 * number
        for turn in range(num_turns):
            base = calls[-1] if calls else None
            if base is not None:
                tokens = base.input_tokens + base.output_tokens + 120
            calls.append(
                Call(
                    id=str(turn),
                    input_tokens=tokens,
                    output_tokens=90 + 7 * turn + number,
                    after=(base.id,) if base else (),
                    delay_ns=200_000_000 if base else 0,
                    extends=base.id if base else None,
                    keep=base.input_tokens + base.output_tokens if base else 0,
                    finish="length",
                    extra=extra or None,
                )
            )
        sessions.append(Session(id=f"s{number}", calls=tuple(calls)))
    return Trace(sessions)


def config(method: str = "none", num_drafts: int = 3, **more: Any) -> Config:
    """Qwen2.5-3B on an H100; `engine` are settings of the engine, the others of speculation."""
    engine = {"max_model_len": 8192, "gpu_memory_utilization": 0.3, **more.pop("engine", {})}
    agents = more.pop("agents", {})
    if method == "none":
        given = SpeculationConfig()
    else:
        engine |= {"speculative_method": method, "num_speculative_tokens": num_drafts}
        given = SpeculationConfig(**{**METHODS[method], **more})
    return Config(
        gpu="h100",
        model="qwen2.5-3b",
        engine=EngineConfig(**engine),
        agents=AgentsConfig(**agents),
        speculation=given,
    )


def replay(settings: Config, sessions: Trace | None = None, **options: Any) -> Run:
    """A checked run."""
    return simulate(sessions or trace(), settings, check=True, **options)


def compared(settings: Config, sessions: Trace | None = None) -> dict[str, float]:
    """What speculation gained or lost, by its causes."""
    system: System = build_system(settings)
    load = sessions or trace()
    run = simulate(load, settings, system=system)
    told: dict[str, float] = compare(load, settings, run, system).facts["without_speculation"]
    return told
