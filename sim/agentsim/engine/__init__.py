"""What happens in time. Start reading at `replica` (the step loop), then `batcher` (what a step
computes), `group` (sequences that decode together) and `session` (an agent)."""
