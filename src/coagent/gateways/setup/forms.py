"""How settings files are written: JSON, with comments or without, and TOML."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from coagent.gateways.setup import jsonc, jsonc_edit


class Json:
    """JSON, with comments and trailing commas where somebody has put them."""

    name = "JSON"

    def read(self, text: str) -> Any:
        """Return what a text holds."""
        return jsonc.read(text).value

    def changed(self, text: str, wanted: dict[str, Any]) -> str:
        """Return a text that holds what is wanted, by the fewest changes."""
        if not text.strip():
            return json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
        return jsonc_edit.changed(text, wanted)


class Toml:
    """TOML, version 1.0."""

    name = "TOML"

    def read(self, text: str) -> Any:
        """Return what a text holds."""
        return tomllib.loads(text)

    def changed(self, text: str, wanted: dict[str, Any]) -> str:
        """Return a text that holds what is wanted, by the fewest changes."""
        from coagent.gateways.setup import toml_edit

        return toml_edit.changed(text, wanted)


JSON, TOML = Json(), Toml()
