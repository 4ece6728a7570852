"""Synthetic agents from measured distributions, and such distributions from a trace.

`profile.load_profile` reads a profile, `sessions.generate` makes its sessions, `fit.fit_profile`
makes a profile of a trace. Every number is drawn by its address (`agentsim.domain.chance`): one
session more, or one thing more in a session, changes nothing else.
"""
