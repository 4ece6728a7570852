"""Logs that people have, as traces: start at `agentsim.workload.importers.reading.import_logs`.

Each format is one file here and one row of `formats.IMPORTERS`. An importer reads what its format
states into `logged.LoggedCall`; everything that formats have in common (order, dependencies, waits,
shared prefixes, what is estimated) is worked out once, in `assemble` and `prefix`.
"""
