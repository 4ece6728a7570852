"""Time the simulation apart from the rest: ``simulate_alone.py TRACE [--exact] KEY=VALUE ...``.

Prints one JSON object. The simulation is all of `simulate`, its machine and its columns included.
"""

import json
import sys
import time

from agentsim import read_trace, simulate
from agentsim.domain.config import load_config


def main(trace: str, *arguments: str) -> None:
    """Run once, with settings as ``agentsim replay --set`` takes them."""
    config = load_config(sets=[text for text in arguments if text != "--exact"])
    sessions = read_trace(trace)
    started, cpu_started = time.perf_counter(), time.process_time()
    run = simulate(sessions, config, exact="--exact" in arguments)
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    print(
        json.dumps(
            {
                "wall_s": wall_s,
                "cpu_s": cpu_s,
                "calls": len(run.requests["call"]),
                "decode_steps": int((run.steps["new_tokens"] > 0).sum()),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
