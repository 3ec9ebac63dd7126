"""An auditor of logs that shares no code with the kernel: written from `docs/log-format.md` alone."""
