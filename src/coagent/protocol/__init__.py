"""The kernel: pure, synchronous, deterministic. `kernel.py` is its interface, `mtpo.py` the transition rules."""
