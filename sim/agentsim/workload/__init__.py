"""Traces: reading them, fitting them to a model, looking at them, making them.

Start at `formats.read_trace`. `v1` is our own format (its fields in `rows`, its rules in `checks`),
`mooncake` another; `fit` and `heads` change a trace before a run; `inspection` says what is in it;
`synthetic` makes sessions from stated distributions.
"""
