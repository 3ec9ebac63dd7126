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

    def require_read_by_client(self, text: str) -> None:
        """Check that the client takes a text of this form as it is written."""

    def changed(self, text: str, wanted: dict[str, Any]) -> str:
        """Return a text that holds what is wanted, by the fewest changes."""
        if not text.strip():
            return json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
        return jsonc_edit.changed(text, wanted)


class PlainJson(Json):
    """JSON of a client that passes over a whole file, without a word, where there is a comment in it."""

    def require_read_by_client(self, text: str) -> None:
        """Check that the client takes a text of this form as it is written."""
        try:
            json.loads(text if text.strip() else "{}")
        except ValueError as error:
            raise ValueError(f"comments are none of JSON, nor are commas before an end ({error})") from None


class Toml:
    """TOML, version 1.0."""

    name = "TOML"

    def read(self, text: str) -> Any:
        """Return what a text holds."""
        return tomllib.loads(text)

    def require_read_by_client(self, text: str) -> None:
        """Check that the client takes a text of this form as it is written."""

    def changed(self, text: str, wanted: dict[str, Any]) -> str:
        """Return a text that holds what is wanted, by the fewest changes."""
        from coagent.gateways.setup import toml_edit

        return toml_edit.changed(text, wanted)


JSON, PLAIN_JSON, TOML = Json(), PlainJson(), Toml()
