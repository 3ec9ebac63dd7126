"""The errors of a Kubernetes API server, as exceptions that know their ``Status`` object.

Source: Kubernetes API conventions, section "Error codes"; wording after
``k8s.io/apimachinery/pkg/api/errors``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]
QUANTITY_RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class Cause(NamedTuple):
    """One reason why an object was refused: its machine-readable kind, its text and the field it is about."""

    reason: str
    message: str
    field: str


class ApiError(Exception):
    """A reply that is not a success; ``status`` is the object sent to the client."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def status(self) -> Json:
        """The ``v1`` ``Status`` object of this error."""
        body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


def qualified(plural: str, group: str) -> str:
    """A resource or kind as messages name it: ``pods``, ``deployments.apps``."""
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str, **more: Any) -> Json:
    details = {"name": name, "group": group, "kind": kind, **more}
    return {key: value for key, value in details.items() if value}


def not_found(plural: str, group: str, name: str) -> ApiError:
    """404: no object of that name."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(name, group, plural))


def no_such_path() -> ApiError:
    """404: the path names nothing the server knows."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409: the name is taken."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(name, group, plural))


def conflict(plural: str, group: str, name: str, why: str = "") -> ApiError:
    """409: the object is no longer the one the client saw."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, plural))


def apply_conflict(causes: list[Cause], managers: str) -> ApiError:
    """409: server-side apply would take over fields that others own."""
    count = len(causes)
    fields = "\n".join(f"- {cause.field}" for cause in causes)
    noun, listed = ("conflict", f": {causes[0].field}") if count == 1 else ("conflicts", f":\n{fields}")
    message = f"Apply failed with {count} {noun}: {noun} with {managers}{listed}"
    return ApiError(409, "Conflict", message, {"causes": [cause._asdict() for cause in causes]})


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> ApiError:
    """422: the object breaks rules; every broken rule is a cause."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    message = f'{qualified(kind, group)} "{name}" is invalid: {text}'
    listed = [cause._asdict() for cause in causes]
    return ApiError(422, "Invalid", message, _details(name, group, kind, causes=listed))


def bad_request(message: str) -> ApiError:
    """400: the request cannot be read."""
    return ApiError(400, "BadRequest", message)


def forbidden(plural: str, group: str, name: str, why: str) -> ApiError:
    """403: the request is understood and refused."""
    subject = f'{qualified(plural, group)} "{name}"' if name else qualified(plural, group)
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", _details(name, group, plural))


def unauthorized() -> ApiError:
    """401: the bearer token is missing or wrong."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiError:
    """405: the resource has no such verb."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def not_acceptable(accepted: str) -> ApiError:
    """406: no representation the client would take."""
    message = f"only the following media types are accepted: {accepted}"
    return ApiError(406, "NotAcceptable", message)


def unsupported_media(accepted: str) -> ApiError:
    """415: a body in a form the server cannot read."""
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return ApiError(415, "UnsupportedMediaType", message)


def gone(asked: int, oldest: int) -> ApiError:
    """410: the watch asks for changes that are no longer held."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def fault(code: int) -> ApiError:
    """The error of an injected fault, worded as a server (or the proxy before it) would word it."""
    known = {
        403: ("Forbidden", 'forbidden: User "emulator-user" cannot perform this action'),
        429: (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        500: ("InternalError", "Internal error occurred: injected fault"),
        503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504: ("Timeout", "request timed out"),
    }
    reason, message = known.get(code, ("", f"injected fault {code}"))
    return ApiError(code, reason, message)


def success(name: str, group: str, plural: str, uid: str) -> Json:
    """The ``Status`` that answers a deletion done at once."""
    details = _details(name, group, plural, uid=uid)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
