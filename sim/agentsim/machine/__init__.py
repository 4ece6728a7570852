"""The machine: GPUs and models as data, how much KV cache fits, how long a step takes.

Start with `system.build_system`: it turns a `Config` into everything a run needs. `catalog` reads
the tables (`gpus.toml`, `models.toml`, `factors.toml`), `capacity` sizes the KV cache as vLLM
does, `roofline` times a step, `vllm_args` and `presets` read a user's launch.
"""
