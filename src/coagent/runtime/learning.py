"""What a mask learns from the events of a domain: the secrets that calls were given, saw and wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coagent.masking.mask import Mask
from coagent.masking.names import is_secret_key
from coagent.protocol.calls import Observation
from coagent.protocol.checkpoint import KernelState
from coagent.protocol.events import (
    CallAmended,
    CallBegun,
    CallObserved,
    CallRan,
    CallReexecuted,
    CallStaged,
    Event,
    OutsideWrite,
    StagedAmended,
)
from coagent.protocol.keys import Key
from coagent.protocol.values import Field

_RESULT_LENGTH_MAX = 20_000
"""Longer texts are looked through only where they are secrets as a whole."""


def learn(mask: Mask, event: Event) -> None:
    """Let a mask remember the secrets in an event."""
    match event:
        case CallObserved() | CallAmended():
            mask.learn_call(event.arguments, event.observation.writes)
            _learn_observation(mask, event.observation)
        case CallStaged() | CallBegun() | StagedAmended():
            mask.learn_call(event.arguments)
        case CallReexecuted() | CallRan():
            _learn_observation(mask, event.observation)
        case OutsideWrite():
            _learn_object(mask, event.key, event.value)
        case _:
            pass


def learn_state(mask: Mask, state: KernelState) -> None:
    """Let a mask remember the secrets in the state of a kernel."""
    for call in state.calls:
        mask.learn_call(call.arguments, call.seen.writes)
        _learn_observation(mask, call.seen)
    for one in state.objects:
        _learn_object(mask, one.key, one.base)


def _learn_observation(mask: Mask, observation: Observation) -> None:
    for (key, selector), seen in observation.reads.items():
        if not (isinstance(selector, Field) and is_secret_key(key) and _is_label(selector.path)):
            _learn_object(mask, key, seen)
    for found in observation.scans.values():
        if isinstance(found, Mapping):
            for key, value in found.items():
                _learn_object(mask, Key(str(key)), value)
    for values in (observation.writes, observation.bases):
        for key, value in values.items():
            _learn_object(mask, key, value)
    if not isinstance(observation.value, str) or len(observation.value) <= _RESULT_LENGTH_MAX:
        mask.learn(observation.value)


def _is_label(path: str) -> bool:
    """Tell whether a field of a secret says something of it: its name, or its labels."""
    return path.startswith(("/metadata/name", "/metadata/labels", "/kind", "/type", "/apiVersion"))


def _learn_object(mask: Mask, key: Key, value: Any) -> None:
    if isinstance(value, dict | list) or is_secret_key(key):
        mask.learn(value, key)
