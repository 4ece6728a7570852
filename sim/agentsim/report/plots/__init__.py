"""Figures of a run for papers and talks. Start at `page`; each kind of figure has a module."""
