"""Studies: many runs of one trace, and what follows from them.

Start at `variants` (which configurations), `figures` (which numbers of a run) and `evaluate` (one
into the other); `compare`, `plan`, `sweep` and `attribution` ask their questions of these.
"""
