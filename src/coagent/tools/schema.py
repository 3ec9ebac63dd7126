"""Arguments of tools that come with a JSON Schema of their own, such as those of an MCP server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coagent.errors import ConfigurationError, InvalidArguments
from coagent.tools.native import signature_of

_FAULTS_SHOWN_MAX = 5


class SchemaArguments:
    """The parameters of a tool, as a JSON Schema tells them.

    Args:
        schema: The schema of an object (JSON Schema, draft 2020-12 unless it says otherwise).
        name: The tool's name, for messages.

    Raises:
        ConfigurationError: It is no valid schema of an object, or `jsonschema` is not installed.
    """

    def __init__(self, schema: Mapping[str, Any], name: str) -> None:
        try:
            import jsonschema
            from jsonschema.validators import validator_for
        except ImportError as error:
            raise ConfigurationError(
                f"tool {name!r} has a JSON Schema, which needs jsonschema: {error}",
                "Install it: pip install 'coagent-mtpo[mcp]'.",
            ) from None
        self.schema: dict[str, Any] = {"type": "object", "properties": {}, **schema}
        self._name = name
        validator = validator_for(self.schema, jsonschema.Draft202012Validator)
        try:
            validator.check_schema(self.schema)
        except jsonschema.SchemaError as error:
            raise ConfigurationError(f"the schema of tool {name!r} is not valid: {error.message}") from None
        if self.schema["type"] != "object":
            raise ConfigurationError(f"the schema of tool {name!r} is not that of an object")
        self._validator = validator(self.schema)
        self._defaults = {
            name: field["default"]
            for name, field in self.schema["properties"].items()
            if isinstance(field, dict) and "default" in field
        }

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with defaults filled in.

        Raises:
            InvalidArguments: Says which are wrong, and what the tool takes.
        """
        given = dict(arguments)
        errors = sorted(self._validator.iter_errors(given), key=lambda error: list(map(str, error.path)))
        if errors:
            faults = "; ".join(
                f"{'.'.join(map(str, error.path)) or 'arguments'}: {error.message}"
                for error in errors[:_FAULTS_SHOWN_MAX]
            )
            raise InvalidArguments(
                f"wrong arguments for tool {self._name!r}: {faults}", f"It takes {self.signature}."
            )
        return {**self._defaults, **given}

    @property
    def signature(self) -> str:
        """The parameters in one line."""
        return signature_of(self.schema)
