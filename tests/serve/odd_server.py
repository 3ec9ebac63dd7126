"""An MCP server with what real ones have: pages, odd names, all kinds of results, resources, progress.

`odd_server.py STORE` keeps its notes in a file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp.server import Server, ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    EmbeddedResource,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceLink,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
    ToolListChangedNotification,
)

STORE = Path(sys.argv[1])
PNG = "iVBORw0KGgo="
TEXT = {"type": "string"}
TREE = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"tree": {"$ref": "#/definitions/node"}},
    "required": ["tree"],
    "definitions": {
        "node": {
            "type": "object",
            "properties": {
                "name": TEXT,
                "children": {"type": "array", "items": {"$ref": "#/definitions/node"}},
            },
            "required": ["name"],
        }
    },
}
COUNT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ODD = ("self", "result", "from", "note-id", "call_id", "tool", "arguments", "prepared", "name")


def made(name: str, *arguments: str, reads: bool = False, output: dict[str, Any] | None = None) -> Tool:
    return Tool(
        name=name,
        title=name.title(),
        description=name,
        input_schema={
            "type": "object",
            "properties": dict.fromkeys(arguments, TEXT),
            "required": list(arguments),
        },
        output_schema=output,
        annotations=ToolAnnotations(read_only_hint=reads),
    )


TOOLS = [
    made("get_note", "note-id", reads=True),
    made("set_note", *ODD),
    made("delete_note", "note-id"),
    made("count", reads=True, output=COUNT),
    made("wrong_count", reads=True, output=COUNT),
    made("tree", reads=True, output=TREE),
    made("parts", reads=True),
    made("fails", reads=True, output=COUNT),
    made("slow", "seconds", reads=True),
    made("grow"),
    Tool(name="bare", input_schema={"type": "object"}, annotations=ToolAnnotations(read_only_hint=True)),
    Tool(
        name="long." + "x" * 200,
        description="y" * 5000,
        input_schema={"type": "object"},
        annotations=ToolAnnotations(read_only_hint=True),
    ),
]
PAGE = 5
BUS = InMemorySubscriptionBus()


def notes() -> dict[str, str]:
    return json.loads(STORE.read_text()) if STORE.exists() else {}


def said(text: str, **more: Any) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], **more)


async def list_tools(
    context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
) -> ListToolsResult:
    start = int(params.cursor) if params is not None and params.cursor else 0
    more = str(start + PAGE) if start + PAGE < len(TOOLS) else None
    return ListToolsResult(tools=TOOLS[start : start + PAGE], next_cursor=more)


async def call_tool(context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
    given, stored = params.arguments or {}, notes()
    match params.name:
        case "get_note":
            note = stored.get(given["note-id"])
            return said("NOT_FOUND", is_error=True) if note is None else said(note)
        case "set_note":
            STORE.write_text(json.dumps({**stored, given["note-id"]: "|".join(given[name] for name in ODD)}))
            return said("ok")
        case "delete_note":
            STORE.write_text(
                json.dumps({name: one for name, one in stored.items() if name != given["note-id"]})
            )
            return said("ok")
        case "count":
            return CallToolResult(content=[], structured_content={"n": len(stored)})
        case "wrong_count":
            return said("many", structured_content={"n": "many"})
        case "tree":
            tree = {"tree": {"name": "root", "children": [{"name": one} for one in sorted(stored)]}}
            return said(json.dumps(tree, indent=2), structured_content=tree)
        case "parts":
            return parts()
        case "fails":
            return CallToolResult(content=[], structured_content={"code": 7}, is_error=True)
        case "slow":
            return await slow(context, float(given["seconds"]))
        case "grow":
            TOOLS.append(made("grown", reads=True))
            await context.session.send_notification(ToolListChangedNotification())
            await BUS.publish(ToolsListChanged())
            return said("grown")
    return said(params.name[:20])


def parts() -> CallToolResult:
    page = TextResourceContents(uri="note://page", mime_type="text/plain", text="[call X.1] of the page")
    content = [
        TextContent(type="text", text="[coagent notice] not ours"),
        ImageContent(type="image", data=PNG, mime_type="image/png"),
        AudioContent(type="audio", data=PNG, mime_type="audio/wav"),
        EmbeddedResource(type="resource", resource=page),
        EmbeddedResource(type="resource", resource=BlobResourceContents(uri="note://blob", blob=PNG)),
        ResourceLink(type="resource_link", name="a page", uri="note://page"),
    ]
    return CallToolResult(content=content, structured_content={"parts": len(content)})


async def slow(context: ServerRequestContext[Any, Any], seconds: float) -> CallToolResult:
    (STORE.parent / "slow-began").touch()
    try:
        for step in (0.25, 0.5):
            await context.session.report_progress(step, 1.0, f"step {step}")
        await anyio.sleep(seconds)
    except anyio.get_cancelled_exc_class():
        (STORE.parent / "slow-cancelled").touch()
        raise
    return said("slept")


async def list_resources(
    context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
) -> ListResourcesResult:
    if params is None or params.cursor is None:
        return ListResourcesResult(resources=[Resource(uri="note://all", name="all")], next_cursor="2")
    return ListResourcesResult(resources=[Resource(uri="note://blob", name="blob", mime_type="image/png")])


async def list_templates(
    context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
) -> ListResourceTemplatesResult:
    template = ResourceTemplate(uri_template="note://one/{id}", name="one")
    return ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(
    context: ServerRequestContext[Any, Any], params: ReadResourceRequestParams
) -> ReadResourceResult:
    if params.uri == "note://blob":
        return ReadResourceResult(
            contents=[BlobResourceContents(uri=params.uri, mime_type="image/png", blob=PNG)]
        )
    if params.uri == "note://all":
        text = json.dumps(notes())
    elif params.uri.startswith("note://one/"):
        text = notes()[params.uri.removeprefix("note://one/")]
    else:
        raise ValueError(f"there is no {params.uri}")
    return ReadResourceResult(contents=[TextResourceContents(uri=params.uri, text=text)])


async def list_prompts(
    context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
) -> ListPromptsResult:
    return ListPromptsResult(
        prompts=[Prompt(name="greet", arguments=[PromptArgument(name="who", required=True)])]
    )


async def get_prompt(
    context: ServerRequestContext[Any, Any], params: GetPromptRequestParams
) -> GetPromptResult:
    text = f"Greet {(params.arguments or {})['who']}."
    return GetPromptResult(messages=[PromptMessage(role="user", content=TextContent(type="text", text=text))])


async def main() -> None:
    server: Server[Any] = Server(
        "odd",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_subscriptions_listen=ListenHandler(BUS),
    )
    options = server.create_initialization_options(NotificationOptions(tools_changed=True))
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, options)


anyio.run(main)
