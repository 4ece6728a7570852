"""Reports: what a run's columns say, as figures, text, JSON and Parquet.

Reads a `Run` and nothing else, so a measured run goes through the same definitions. Start in
`metrics` (what each metric is), then `where` (where the time went), `summary` (the `figures` of
one run) and the three ways out: `text`, `document` (JSON) and `store` (Parquet).
"""
