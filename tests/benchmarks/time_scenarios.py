"""Time scenarios of the scheduler oracle within one process, start-up apart.

``time_scenarios.py {real,ours} FILE ...`` prints the processor seconds of each. It runs alone in
the interpreter that has vLLM. The first scenario is run once before, for what is set up only once.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMES = 3


def runner(which: str) -> Callable[[dict[str, Any]], Any]:
    """The function that runs a scenario."""
    if which == "ours":
        from agentsim.engine.scenario import run_scenario

        return lambda scenario: list(run_scenario(scenario))
    path = Path(__file__).parents[1] / "oracle" / "real_vllm.py"
    spec = importlib.util.spec_from_file_location("real_vllm", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_vllm"] = module
    spec.loader.exec_module(module)
    run: Callable[[dict[str, Any]], Any] = module.run
    return run


def seconds(run: Callable[[dict[str, Any]], Any], scenario: dict[str, Any]) -> float:
    """Processor seconds of one run."""
    started = time.process_time()
    run(scenario)
    return time.process_time() - started


def main(which: str, *paths: str) -> None:
    """Print the best of `TIMES` for each file."""
    run = runner(which)
    scenarios = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    run(scenarios[0])
    print(json.dumps([min(seconds(run, each) for _ in range(TIMES)) for each in scenarios]))


if __name__ == "__main__":
    main(*sys.argv[1:])
