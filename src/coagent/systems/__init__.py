"""Live systems, one package each: what it holds, what agents may call, how it is configured."""
