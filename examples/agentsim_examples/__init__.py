"""One plug-in of each kind for agentsim; `pyproject.toml` beside this package registers them."""
