"""Time scenarios of the scheduler oracle within one process, start-up apart.

``time_scenarios.py {real,ours} FILE ...`` prints the processor seconds of each. Of vLLM only its
scheduler counts: making requests with their hashes, adding them, scheduling, taking in outputs; not
the script around it. Ours is a whole simulation of the same requests, columns included. With `real`
it runs alone in the interpreter that has vLLM. The first scenario is run once before, for what is
set up only once.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

TIMES = 3
TESTS = Path(__file__).parents[1]

Json = dict[str, Any]


def of_ours(scenario: Json) -> float:
    """Processor seconds of one simulation."""
    from agentsim.domain.config import Config
    from agentsim.domain.trace import Trace
    from agentsim.engine.rules import Rules
    from agentsim.engine.simulation import Simulation

    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    sessions = importlib.import_module("oracle.sessions")
    trace = Trace(sessions.sessions_of(scenario["requests"]))
    rules = Rules(**scenario.get("config", {}))
    started = time.process_time()
    simulation = Simulation(trace, Config(), rules, EqualSteps())
    simulation.run()
    simulation.ledger.close()
    return time.process_time() - started


class EqualSteps:
    """Steps of 1000 ns: where there is no model, there is nothing to work out."""

    def step_ns(self, shape: Any) -> int:
        """Duration of a step."""
        return 1000

    def decode_steps_ns(self, shape: Any, num_steps: int, window_growth: int) -> Any:
        """Durations of several."""
        import numpy as np

        return np.full(num_steps, 1000, np.int64)


class Watch:
    """Adds up the processor time spent in some functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added up."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.process_time() - started

        return timed


def of_real(scenario: Json) -> float:
    """Processor seconds of the real scheduler."""
    module, watch = real_vllm(), Watch()
    make_scheduler, make_request = module._make_scheduler, module._make_request

    def make_watched(config: Json) -> Any:
        scheduler = make_scheduler(config)
        for name in ("add_request", "schedule", "update_from_output"):
            setattr(scheduler, name, watch.over(getattr(scheduler, name)))
        return scheduler

    module._make_scheduler, module._make_request = make_watched, watch.over(make_request)
    try:
        module.run(scenario)
    finally:
        module._make_scheduler, module._make_request = make_scheduler, make_request
    return watch.seconds


def real_vllm() -> ModuleType:
    """The script that drives the real scheduler: alone, nothing of agentsim is imported."""
    if "real_vllm" not in sys.modules:
        path = TESTS / "oracle" / "real_vllm.py"
        spec = importlib.util.spec_from_file_location("real_vllm", path)
        assert spec is not None and spec.loader is not None
        sys.modules["real_vllm"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["real_vllm"])
    return sys.modules["real_vllm"]


def main(which: str, *paths: str) -> None:
    """Print the best of `TIMES` for each file."""
    seconds = of_ours if which == "ours" else of_real
    scenarios = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    seconds(scenarios[0])
    print(json.dumps([min(seconds(each) for _ in range(TIMES)) for each in scenarios]))


if __name__ == "__main__":
    main(*sys.argv[1:])
