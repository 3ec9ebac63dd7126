"""Values without the secrets in them, by where these stand: in which field, argument, file or object."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from coagent.masking.names import counts_tokens, is_label, is_secret_key, is_secret_name, is_secret_path
from coagent.masking.spans import MASK, masked_text, secret_spans

_DEPTH_MAX: Final = 100
_JSON_LENGTH_MAX: Final = 200_000
_TEXT_LENGTH_MAX: Final = 200_000
_PATH_LENGTH_MAX: Final = 1000
_COMMANDS: Final = ("cmd", "command", "script")
_WORD: Final = re.compile(r"[^\s\"'`=<>|;&(),]{1,4096}")
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_SCHEMA_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_SECRET_FIELDS: Final = ("data", "stringData")
_OF_REFERENCES: Final = ("secretName", "secretRef", "secretKeyRef")
"""A field named `secret` that has one of these only says where a secret is."""

Texts = Callable[[str], str]


def masked(value: Any, key: str = "", *, text: Texts = masked_text) -> Any:
    """Return a value for showing: as it is, but with masks, and sizes in the place of bytes.

    Args:
        value: Plain data; of anything else its `repr` is shown.
        key: The object that it is, where it is one.
        text: How texts are masked that are not masked as a whole.
    """
    return _Masking(text).whole(value) if is_secret_key(key) else _Masking(text).value(value)


def masked_arguments(
    arguments: Mapping[str, Any], *, hidden: bool, text: Texts = masked_text
) -> dict[str, Any]:
    """Return the arguments of a call for showing.

    Args:
        arguments: As called.
        hidden: Whether the call is about a secret as a whole: then only what names the object is shown.
        text: How texts are masked that are not masked as a whole.
    """
    masking = _Masking(text)
    if not hidden:
        shown = masking.value(dict(arguments))
        return shown if isinstance(shown, dict) else {}
    return {
        name: masking.value(value) if is_label(name) and isinstance(value, str) else masking.whole(value)
        for name, value in arguments.items()
    }


def concerns_secret(arguments: Mapping[str, Any], written: Iterable[str] = ()) -> bool:
    """Tell whether a call is about a secret as a whole, so that any argument may hold it.

    Args:
        arguments: As called.
        written: The keys of the objects that it has written.
    """
    if any(is_secret_key(key) for key in written):
        return True
    kind = arguments.get("kind")
    if isinstance(kind, str) and kind.lower().partition("/")[0] in ("secret", "secrets"):
        return True
    return any(_names_secret(name, text) for name, item in arguments.items() for text in _strings([item]))


def _names_secret(name: str, text: str) -> bool:
    if name in _COMMANDS:
        return any(is_secret_path(word) for word in _WORD.findall(text[:_TEXT_LENGTH_MAX]))
    one_word = len(text) <= _PATH_LENGTH_MAX and not any(character.isspace() for character in text)
    return one_word and (is_secret_path(text) or (":" in text and is_secret_key(text)))


def secrets_in(value: Any, key: str = "") -> Iterator[str]:
    """Yield the secret texts in a value, to be looked for wherever else they stand."""
    if is_secret_key(key):
        yield from _leaves(value)
    else:
        yield from _secrets(value, 0)


class _Masking:
    def __init__(self, text: Texts) -> None:
        self._text = text

    def whole(self, value: Any, depth: int = 0) -> Any:
        """Return a value that is a secret: what it is made of, without what it holds."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Mapping) and depth < _DEPTH_MAX:
            if value.get("kind") == "Secret":
                return self._secret(value, depth)
            return {self._text(str(name)): self.whole(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple) and depth < _DEPTH_MAX:
            return [self.whole(item, depth + 1) for item in value]
        return MASK

    def value(self, value: Any, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, bytes | bytearray):
            return f"{len(value)} bytes"
        if depth >= _DEPTH_MAX:
            return MASK
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth + 1) for item in value]
        return self._text(repr(value))

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        if value.get("kind") == "Secret":
            return self._secret(value, depth)
        shown = {}
        for name, item in value.items():
            hidden = is_secret_name(str(name)) and not _is_count(str(name), item) and not _refers(item)
            shown[self._text(str(name))] = (
                self.whole(item, depth + 1) if hidden else self.value(item, depth + 1)
            )
        for name in _hidden_items(value):
            shown[name] = self.whole(value[name], depth + 1)
        return shown

    def _secret(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        """A Secret of Kubernetes: what it holds is masked, and its copy among its annotations."""
        shown = {
            str(name): self.whole(item, depth + 1) if name in _SECRET_FIELDS else self.value(item, depth + 1)
            for name, item in value.items()
        }
        metadata = shown.get("metadata")
        notes = metadata.get("annotations") if isinstance(metadata, dict) else None
        if isinstance(notes, dict) and _LAST_APPLIED in notes:
            notes[_LAST_APPLIED] = MASK
        return shown

    def _string(self, value: str) -> str:
        parsed = _parsed(value)
        if parsed is not None:
            shown = self.value(parsed)
            return value if shown == parsed else json.dumps(shown, ensure_ascii=False)
        return self._text(value)


def _parsed(text: str) -> Any:
    """Return what JSON text says, where it is a list or an object; None for any other text."""
    if len(text) > _JSON_LENGTH_MAX or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _is_count(name: str, value: Any) -> bool:
    return counts_tokens(name) and not any(_strings([value]))


def _refers(value: Any) -> bool:
    """Tell whether a mapping says where a secret is, or of what kind it has to be (JSON Schema)."""
    if not isinstance(value, Mapping):
        return False
    return any(name in value for name in _OF_REFERENCES) or value.get("type") in _SCHEMA_TYPES


def _hidden_items(value: Mapping[Any, Any]) -> list[str]:
    """Return the items of a mapping that another one makes secrets: what stands beside the name of a secret.

    A variable of a container (`name` and `value`), a step of a JSON Patch (`path` and `value`), and a file
    with what is to be in it (`path` and `content`), as tools are called with.
    """
    for label in ("name", "path", "key"):
        named = value.get(label)
        if isinstance(named, str) and "value" in value and is_secret_name(named):
            return ["value"]
    for label in ("path", "file_path", "filename", "notebook_path"):
        named = value.get(label)
        if isinstance(named, str) and is_secret_path(named):
            return [str(name) for name in value if not is_label(str(name))]
    return []


def _strings(values: Iterable[Any], depth: int = 0) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping) and depth < _DEPTH_MAX:
            yield from _strings(value.values(), depth + 1)
        elif isinstance(value, list | tuple) and depth < _DEPTH_MAX:
            yield from _strings(value, depth + 1)


def _secrets(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        parsed = _parsed(value)
        if parsed is not None:
            yield from _secrets(parsed, depth + 1)
        elif len(value) <= _TEXT_LENGTH_MAX:
            yield from (value[start:end] for start, end in secret_spans(value))
    elif depth >= _DEPTH_MAX:
        return
    elif isinstance(value, Mapping):
        fields = _SECRET_FIELDS if value.get("kind") == "Secret" else ()
        beside = _hidden_items(value)
        for name, item in value.items():
            name = str(name)
            if name in fields or name in beside or (is_secret_name(name) and not _is_count(name, item)):
                yield from () if _refers(item) else _leaves(item)
            else:
                yield from _secrets(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item, depth + 1)


def _leaves(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield all texts of a value that is a secret, and what they say in base64."""
    if isinstance(value, Mapping) and depth < _DEPTH_MAX:
        fields = [item for name, item in value.items() if name in _SECRET_FIELDS]
        for item in fields if fields or "metadata" in value else value.values():
            yield from _leaves(item, depth + 1)
    elif isinstance(value, list | tuple) and depth < _DEPTH_MAX:
        for item in value:
            yield from _leaves(item, depth + 1)
    elif isinstance(value, bytes | bytearray):
        yield from _leaves(value[:_TEXT_LENGTH_MAX].decode("utf-8", "replace"), depth)
    elif isinstance(value, str):
        yield value
        yield from _from_base64(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _from_base64(text: str) -> Iterator[str]:
    if len(text) % 4 == 0 and 8 <= len(text) <= _TEXT_LENGTH_MAX:
        try:
            yield base64.b64decode(text, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return
