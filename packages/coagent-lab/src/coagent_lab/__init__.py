"""What CoAgent is tried and measured with: benchmarks, simulations against a serial oracle, and demos."""
