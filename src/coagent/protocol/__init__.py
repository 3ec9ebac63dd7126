"""The kernel: pure, synchronous, deterministic. `kernel.py`: its interface; `mtpo.py`: the rules."""
