"""What `calibration/collect.py` is made of.

Start at `plans` (loads whose arrivals are known beforehand) and `replay` (agents, closed loop).
Both send by `endpoint`, make prompts by `tokens`, and are written down by `folder`.
"""
