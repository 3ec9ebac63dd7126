"""A small Kubernetes API server for tests, demos and benchmarks, good enough for real clients.

It keeps objects in memory and runs nothing. Only ``Emulator`` and what it hands out are public.
"""

from __future__ import annotations

from kube_emulator.faults import Faults
from kube_emulator.server import Emulator, Seen
from kube_emulator.statuses import ApiError
from kube_emulator.webhooks import Webhook

__all__ = ["ApiError", "Emulator", "Faults", "Seen", "Webhook"]
