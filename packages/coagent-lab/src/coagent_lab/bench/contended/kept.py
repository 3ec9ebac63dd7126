"""Results of trials on disk, so that a long run with models can go on where it was cut off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from coagent.errors import ConfigurationError
from coagent.masking.mask import Mask
from coagent.private import private_folder, write_private
from coagent_lab.bench.contended.trial import Trial

_RESULT = "result.json"
_PARAMETERS = "parameters.json"


class Kept:
    """The place of one trial's result and transcripts: `DIR/WORKLOAD/PROTOCOL/SEED/`."""

    def __init__(self, keep: Path, workload: str, protocol: str, seed: int) -> None:
        self._keep = keep
        self.folder = keep / workload / protocol / str(seed)

    def read(self, parameters: Mapping[str, Any]) -> Trial | None:
        """Return the result that is there; None if the trial is still to be run, or had failed.

        Raises:
            ConfigurationError: The directory holds results of other parameters, or a file there is damaged.
        """
        path = self._keep / _PARAMETERS
        known = _json(path)
        if known is not None and known != json.loads(json.dumps(parameters)):
            changed = sorted(
                name for name in {*known, *parameters} if known.get(name) != parameters.get(name)
            )
            raise ConfigurationError(
                f"directory {str(self._keep)!r} holds results with another {', '.join(changed)}",
                "Keep these results elsewhere, or use the parameters in its parameters.json.",
            )
        result = _json(self.folder / _RESULT)
        if result is None or result.get("failure"):
            return None
        return Trial(**{one.name: result[one.name] for one in fields(Trial) if one.name in result})

    def write(self, trial: Trial, parameters: Mapping[str, Any]) -> None:
        """Keep a result.

        Raises:
            ConfigurationError: The directory cannot be written.
        """
        result = {**asdict(trial), "agents": []}
        try:
            private_folder(self.folder)
            write_private(self._keep / _PARAMETERS, json.dumps(parameters, indent=2) + "\n")
            write_private(self.folder / _RESULT, json.dumps(Mask().value(result), indent=2) + "\n")
        except OSError as error:
            raise ConfigurationError(
                f"results cannot be kept in {str(self._keep)!r}: {error.strerror}", "Name another directory."
            ) from None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read: {error}", "Remove it.") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{str(path)!r} holds no result", "Remove it.")
    return found
