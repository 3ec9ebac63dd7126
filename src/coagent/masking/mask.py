"""What one output shows: every text through one mask, which remembers the secrets that it has seen.

A value that was once in a secret's place is masked wherever else it stands: in an error, in an answer, in a
diff, whole or cut short. So whoever shows texts first lets the mask learn from the values they are made of.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from coagent.masking.names import is_label, is_secret_key, is_secret_name
from coagent.masking.spans import MASK, masked_text
from coagent.masking.values import concerns_secret, masked, masked_arguments, secrets_in

_LEARNED_MAX: Final = 5000
_LENGTH_MIN: Final = 6
"""Shorter secrets are masked only in their own places: as words they would stand everywhere."""
_LONG: Final = 12
"""From this length on a secret is masked also within a longer word."""
_LENGTH_MAX: Final = 100_000
_ROUNDS_MAX: Final = 8
_CUT_MIN: Final = 4
_CUT = re.compile("…|\\.\\.\\.")
_SHOWN_MAX: Final = 20_000
_WORKING_FOLDERS: Final = ("PWD", "OLDPWD")
"""What a shell calls so is no password (POSIX)."""
COMMON: Final = frozenset({
    "database", "default", "disabled", "enabled", "localhost", "opaque", "password", "production", "secret",
    "secrets", "string", "credentials",
})  # fmt: skip
"""Words that stand in places of secrets and everywhere else."""


class Mask:
    """Masks the texts and values of one output."""

    def __init__(self) -> None:
        self._learned: dict[str, None] = {}
        self._sorted: list[str] | None = None

    # ---- learning ------------------------------------------------------------------------------------------

    def learn(self, value: Any, key: str = "") -> None:
        """Remember the secrets in a value.

        Args:
            value: The value.
            key: The object that it is, where it is one.
        """
        for text in secrets_in(value, key):
            self._remember(text)
            if is_secret_key(key) and ("\n" in text or "=" in text):
                self._remember_lines(text)

    def learn_secret(self, value: Any) -> None:
        """Remember all texts of a value that is a secret as a whole."""
        self.learn(value, _A_SECRET)

    def learn_call(self, arguments: Mapping[str, Any], written: Iterable[str] = ()) -> None:
        """Remember the secrets in the arguments of a call that wrote some objects."""
        self.learn(dict(arguments))
        if concerns_secret(arguments, written):
            for name, value in arguments.items():
                if not is_label(name) and name != "command":  # a command's words are those of others, too
                    self.learn_secret(value)

    def learn_environment(self, variables: Mapping[str, str]) -> None:
        """Remember the values of variables that are named like secrets."""
        for name, value in variables.items():
            if is_secret_name(name) and name not in _WORKING_FOLDERS:
                self._remember(value)

    def _remember_lines(self, text: str) -> None:
        """Remember the lines of a file of secrets, and what they assign."""
        for line in text.splitlines():
            name, sign, value = line.partition("=")
            value = value.strip().strip("\"'")
            if sign and (len(value) >= _LONG or is_secret_name(name)):
                self._remember(value)
            if len(line.strip()) >= _LONG and not line.lstrip().startswith("#"):
                self._remember(line)

    def _remember(self, text: str) -> None:
        text = text.strip().strip("\"'`\\").strip()
        if not _LENGTH_MIN <= len(text) <= _LENGTH_MAX or text.lower() in COMMON:
            return
        if MASK in text or text in MASK:
            return
        if not any(character.isalnum() for character in text):
            return
        forms = [text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]]
        data = text.encode("utf-8", "surrogatepass")
        forms += [quote(data, safe=""), base64.b64encode(data).decode().rstrip("=")]
        for form in forms:
            if form not in self._learned and len(self._learned) < _LEARNED_MAX:
                self._learned[form] = None
                self._sorted = None

    # ---- masking -------------------------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """Return a text with masks in the place of secrets."""
        for _ in range(_ROUNDS_MAX):
            shown = masked_text(self._without_learned(text))
            if shown == text:
                break
            text = shown
        return text

    def value(self, value: Any, key: str = "") -> Any:
        """Return a value for showing, as JSON data."""
        return masked(value, key, text=self.text)

    def arguments(self, arguments: Mapping[str, Any], written: Iterable[str] = ()) -> dict[str, Any]:
        """Return the arguments of a call that wrote some objects, for showing."""
        hidden = concerns_secret(arguments, written)
        return masked_arguments(arguments, hidden=hidden, text=self._beginning)

    def changed(
        self, before: str, after: str | None, key: str = "", name: str = ""
    ) -> tuple[str, str | None]:
        """Return two texts of which one took the other's place; where one is a secret, both are masked.

        Args:
            before: What was there.
            after: What is there; None where that is not clear.
            key: The object that they come from.
            name: The field or argument that they stand in.
        """
        hidden = is_secret_key(key) or is_secret_name(name)
        old, new = self.text(before), None if after is None else self.text(after)
        hidden = hidden or (old, new) != (before, after)
        return (MASK, None if new is None else MASK) if hidden else (old, new)

    def result(self, value: Any, arguments: Mapping[str, Any]) -> Any:
        """Return what a call with such arguments has returned, for showing."""
        self.learn_call(arguments)
        return self.value(value, _A_SECRET if concerns_secret(arguments) else "")

    def brief(self, value: Any, length_max: int = 200, key: str = "", *, quoted: bool = False) -> str:
        """Return a value in one bounded line.

        It is masked before it is quoted and cut: then lines are no lines any more, and a part of a secret
        would not be found.

        Args:
            value: The value.
            length_max: How much of it is shown, in characters.
            key: The object that it is, where it is one.
            quoted: Whether a text is shown as its `repr`.
        """
        shown = masked(value, key, text=self._beginning)
        text = shown if isinstance(shown, str) and not quoted else repr(shown)
        return text if len(text) <= length_max else f"{text[:length_max]}… ({len(text)} characters)"

    def _beginning(self, text: str) -> str:
        """Return as much of a text as any line shows, with masks in the place of secrets."""
        return self.text(text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…")

    def as_json(self, value: Any, length_max: int) -> str:
        """Return a value as JSON in one bounded line."""
        text = self.text(json.dumps(self.value(value), ensure_ascii=False))
        return text if len(text) <= length_max else f"{text[: length_max - 3]}…"

    def _without_learned(self, text: str) -> str:
        if self._sorted is None:
            self._sorted = sorted(self._learned, key=len, reverse=True)
        cuts = [match.start() for match in _CUT.finditer(text)]
        for secret in self._sorted:
            if secret in text:
                text = text.replace(secret, MASK) if len(secret) >= _LONG else _word_masked(text, secret)
        return self._without_cut(text) if cuts else text

    def _without_cut(self, text: str) -> str:
        """Mask the beginnings of secrets that were cut short."""
        assert self._sorted is not None
        for match in reversed(list(_CUT.finditer(text))):
            before = text[: match.start()]
            for secret in self._sorted:
                length = _overlap(before, secret)
                if length:
                    text = f"{before[:-length]}{MASK}{text[match.start() :]}"
                    break
        return text


_A_SECRET: Final = "k8s:/secrets/"
"""The key of something that is a secret as a whole."""


def _word_masked(text: str, secret: str) -> str:
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", MASK, text)


def _overlap(text: str, secret: str) -> int:
    """Return how much of a secret's beginning stands at the end of a text, if that is enough to tell."""
    tail = text[-len(secret) :]
    at = tail.find(secret[:_CUT_MIN])
    while at >= 0:
        if secret.startswith(tail[at:]):
            return len(tail) - at
        at = tail.find(secret[:_CUT_MIN], at + 1)
    return 0
