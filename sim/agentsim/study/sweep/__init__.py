"""Sweeps: thousands of configurations over traces, in parallel, into one Parquet dataset.

`spec` reads SPEC.toml, `grid` numbers its points, `work` makes a row of a point, `backends` and
`on_ray` run many at a time, `folder` keeps the rows, and `runner` puts these together: start at
`runner.run_sweep`.
"""

from agentsim.study.sweep.folder import read_sweep
from agentsim.study.sweep.runner import Report, run_sweep
from agentsim.study.sweep.spec import read_spec

__all__ = ["Report", "read_spec", "read_sweep", "run_sweep"]
