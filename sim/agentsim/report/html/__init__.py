"""Reports as one HTML file that needs no network. Start at `page`; a run's is `run_page`."""
