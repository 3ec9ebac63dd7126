"""Native tools: async functions over a `State`, with a schema made from their signature and docstring."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, get_type_hints, overload

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from coagent.errors import ConfigurationError, InvalidArguments
from coagent.protocol.edit_merging import Merge
from coagent.tools.base import Effect, Gate, Tool
from coagent.tools.intent import Probe
from coagent.tools.state import State

ToolFunction: TypeAlias = Callable[..., Awaitable[Any]]


class Arguments:
    """The parameters of a tool: their JSON Schema, and the check of arguments against it.

    Args:
        function: Its parameters after the first `skip` make the schema; its docstring describes them.
        name: The tool's name, for messages.
        skip: How many leading parameters belong to CoAgent rather than to the caller.
    """

    def __init__(self, function: Callable[..., Any], name: str, *, skip: int) -> None:
        hints = _hints(function)
        described = {
            parameter.arg_name: parameter.description
            for parameter in docstring_parser.parse(function.__doc__ or "").params
        }
        fields: dict[str, Any] = {}
        for parameter in list(inspect.signature(function).parameters.values())[skip:]:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise ConfigurationError(
                    f"parameter {parameter.name!r} of tool {name!r} cannot be passed by name",
                    "Give every parameter of a tool a name and a type.",
                )
            default = ... if parameter.default is parameter.empty else parameter.default
            field = Field(default, description=described.get(parameter.name))
            fields[parameter.name] = (hints.get(parameter.name, Any), field)
        self._name = name
        self._names = tuple(fields)
        self._model: type[BaseModel] = create_model(
            f"{name}_arguments",
            __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False),
            **fields,
        )
        self._validate = self._model.__pydantic_validator__.validate_python
        self.schema: dict[str, Any] = _plain_schema(self._model)

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function takes them, defaults filled in.

        Raises:
            InvalidArguments: Says which are wrong, and what the tool takes.
        """
        try:
            return self._validate(arguments).__dict__  # type: ignore[no-any-return]
        except ValidationError as error:
            raise self._invalid(error) from None

    def _invalid(self, error: ValidationError) -> InvalidArguments:
        faults = "; ".join(
            f"{'.'.join(str(step) for step in fault['loc']) or 'arguments'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        )
        return InvalidArguments(
            f"wrong arguments for tool {self._name!r}: {faults}", f"It takes {self.signature}."
        )

    @property
    def signature(self) -> str:
        """The parameters in one line."""
        return signature_of(self.schema)


def signature_of(schema: Mapping[str, Any]) -> str:
    """Return the parameters of a schema in one line, such as `name: string, replicas: integer = 1`."""
    required = set(schema.get("required", ()))
    parts = []
    for name, field in schema.get("properties", {}).items():
        kind = (
            field.get("type")
            or "/".join(choice.get("type", "any") for choice in field.get("anyOf", ()))
            or "any"
        )
        kind = "/".join(kind) if isinstance(kind, list) else kind
        parts.append(f"{name}: {kind}" + ("" if name in required else f" = {field.get('default')!r}"))
    return ", ".join(parts) or "no arguments"


class NativeTool(Tool):
    """A tool whose reads and writes are observed while it runs; made by `@tool`.

    Args:
        function: `async def name(state, ...)`.
        name: What agents call it; the function's name by default.
        description: What models are told; the docstring's summary by default.
        effect: "inferred", or "irreversible" for what cannot be taken back (a mail, a payment).
        gate: When an irreversible tool runs: "stage" at commit, "wait" once all lower ranks have committed.
        schemes: Those of objects that no target has: what agents keep for themselves, until they end.
        probe: As for `tool`.
        idempotent: As for `tool`.
        merge: As for `tool`.
    """

    kind = "native"
    merge: Merge | None = None

    def __init__(
        self,
        function: ToolFunction,
        *,
        name: str | None = None,
        description: str | None = None,
        effect: Effect = "inferred",
        gate: Gate | None = None,
        schemes: Sequence[str] = (),
        probe: Probe | None = None,
        idempotent: bool = False,
        merge: Merge | None = None,
    ) -> None:
        self.name = name or function.__name__
        if not inspect.iscoroutinefunction(function):
            raise ConfigurationError(
                f"tool {self.name!r} is not an async function", "Write it as `async def` with a State first."
            )
        if not inspect.signature(function).parameters:
            raise ConfigurationError(
                f"tool {self.name!r} takes no State", "Make `state: State` its first parameter."
            )
        if gate is not None and effect != "irreversible":
            raise ConfigurationError(
                f"tool {self.name!r} has a gate but is not irreversible",
                'Add effect="irreversible" or drop the gate.',
            )
        if effect not in ("inferred", "irreversible") or gate not in (None, "stage", "wait"):
            raise ConfigurationError(
                f"tool {self.name!r} has effect={effect!r}, gate={gate!r}",
                'effect is "inferred" or "irreversible"; gate is "stage" or "wait".',
            )
        self.function = function
        self.schemes = tuple(schemes)
        self.probe, self.idempotent = probe, idempotent
        self.merge = merge
        self.description = description or described(function)
        self.effect: Effect = effect
        self.gate: Gate | None = (gate or "stage") if effect == "irreversible" else None
        self.arguments = Arguments(function, self.name, skip=1)

    def run(self, state: State, arguments: Mapping[str, Any]) -> Awaitable[Any]:
        """Run the function over `state` with arguments that `arguments.checked` returned."""
        return self.function(state, **arguments)

    async def __call__(self, state: State, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, so that one tool can be built from others."""
        return await self.function(state, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name}({self.arguments.signature})>"


@overload
def tool(function: ToolFunction, /) -> NativeTool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "inferred",
    gate: Gate | None = None,
    schemes: Sequence[str] = (),
    probe: Probe | None = None,
    idempotent: bool = False,
    merge: Merge | None = None,
) -> Callable[[ToolFunction], NativeTool]: ...


def tool(
    function: ToolFunction | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "inferred",
    gate: Gate | None = None,
    schemes: Sequence[str] = (),
    probe: Probe | None = None,
    idempotent: bool = False,
    merge: Merge | None = None,
) -> NativeTool | Callable[[ToolFunction], NativeTool]:
    """Make a governed tool of `async def name(state: State, ...)`.

    Its reads and writes go through `state` and are observed, so that it can be undone, re-executed on
    another prefix of the order, and its result checked; it must touch the shared state in no other way
    and give the same result for the same state and arguments.

    Args:
        function: Given when used as a bare `@tool`.
        name: What agents call it; the function's name by default.
        description: What models are told; the docstring's summary by default.
        effect: "inferred" from what it does, or "irreversible".
        gate: For irreversible tools: "stage" (the default) runs it at commit, "wait" holds the call.
        schemes: Those of objects that no target has: what agents keep for themselves, until they end.
        probe: For irreversible tools: `async def (intent, **arguments)`, which returns whether the run of
            that name has had its effect, where a process has died meanwhile: True, False, None where that
            cannot be told, or `coagent.Probed` with its result.
        idempotent: Whether the tool acts once for one `coagent.idempotency_key()`, so that such a run can be
            run again.
        merge: For tools that edit what they read: `(key, saw, found, now)`, which returns what the tool has
            changed from `saw` to `found` merged into `now`, or None where both clash. It is asked where the
            tool fails when it has to run again (rule 11); what it gives stands, and the agent is told.

    Returns:
        The `NativeTool`, which can still be awaited as a function from other tools.

    Raises:
        ConfigurationError: It is not an async function, or a parameter cannot be passed by name.
    """

    def made(function: ToolFunction) -> NativeTool:
        about = {"name": name, "description": description}
        return NativeTool(
            function,
            **about,
            effect=effect,
            gate=gate,
            schemes=schemes,
            probe=probe,
            idempotent=idempotent,
            merge=merge,
        )

    return made if function is None else made(function)


def described(function: Callable[..., Any]) -> str:
    """Return what a docstring tells models: its summary and body, without the sections."""
    parsed = docstring_parser.parse(inspect.getdoc(function) or "")
    parts = [parsed.short_description, parsed.long_description]
    return "\n\n".join(part for part in parts if part)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters' types; those that only the defining scope can resolve count as Any."""
    try:
        return get_type_hints(function, include_extras=True)
    except NameError:
        annotations = inspect.get_annotations(function)
        return {name: Any if isinstance(hint, str) else hint for name, hint in annotations.items()}


def _plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's JSON Schema without the titles pydantic adds, which only cost tokens."""
    schema = model.model_json_schema()
    schema.pop("title", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    return schema
