"""A trace in the formats of others, so that the same load can be sent to a server or a rival.

Start at `agentsim.workload.exporters.targets`, the table; each target has a file. What prompts are
made of is worked out once, in `prompts`; when calls are sent, in `times`.
"""
