"""Studies: many runs of one trace, and what follows from them.

Start at `variants` (which configurations), `figures` (which numbers of a run) and `evaluate` (one
into the other). `compare` lays configurations side by side; `plan` searches (`space`, `search`,
`planner`) for the cheapest within `objectives`; `sweep` runs them by the thousand; `explain`
divides a difference among `mechanisms` (`attribution`) and asks what is left to gain (`bounds`);
`score` weighs a run. Their texts and documents stand beside them; `workers` is who simulates.
"""
