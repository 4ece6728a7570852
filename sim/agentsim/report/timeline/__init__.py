"""A run as Chrome trace events, for https://ui.perfetto.dev. Start at `write`."""
