"""Fit the factors of the step-time model to measurements.

Start at `agentsim.calibration.fit.fit`: robust least squares on `Observations`, which
`agentsim.calibration.files.read_observations` reads from step timings, vLLM's log and kernel
tables. `agentsim.calibration.profile` writes the result as a file for ``--config``.
"""
