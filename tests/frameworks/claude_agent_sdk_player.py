"""Plays a part with a session of the Claude Agent SDK, whose model is a scripted endpoint."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_type_hints

import claude_agent_sdk as sdk
import pytest
from anthropic_endpoint import AnthropicEndpoint
from anyio import CancelScope, to_thread
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, SdkMcpTool
from framework_world import Function, Part
from scripted_endpoint import Player, Reply, Script, Stage, blocks

from coagent.gateways.frameworks.claude_agent_sdk import govern_tools, run_to_commit

CLI = Path(sdk.__file__).parent / "_bundled" / "claude"


@cache
def fault_of_cli() -> str:
    """Return why the SDK's command cannot run here, or nothing."""
    try:
        done = subprocess.run(
            [str(CLI), "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip()


def require_cli() -> None:
    """Skip the test where the SDK's command cannot run."""
    if fault_of_cli():
        pytest.skip(f"the Claude Agent SDK's own Claude Code cannot run: {fault_of_cli()}")


def tool_of(function: Function) -> SdkMcpTool[Any]:
    """Return an SDK tool that calls a function."""
    hints = {name: hint for name, hint in get_type_hints(function).items() if name != "return"}

    async def handler(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": await function(**arguments)}]}

    return SdkMcpTool(function.__name__, function.__doc__ or "", hints, handler)


def prefixed(script: Script, server: str) -> Script:
    """Return a script whose calls name the server's tools as Claude Code does."""
    player = Player(script)
    failed: list[BaseException] = []

    async def played(turn: Any) -> Reply:
        if failed:  # Claude Code may try again
            raise failed[0]
        try:
            reply = blocks(await player._reply_async(turn))
        except BaseException as failure:
            failed.append(failure)
            raise
        return [
            {**block, "name": f"mcp__{server}__{block['name']}"} if "name" in block else block
            for block in reply
        ]

    return played


def options_for(endpoint: AnthropicEndpoint, home: str, **others: Any) -> ClaudeAgentOptions:
    """Return options with which a session knows nothing but the endpoint and its tools."""
    return ClaudeAgentOptions(
        tools=[],
        cwd=home,
        setting_sources=[],
        env={
            "HOME": home,
            "ANTHROPIC_BASE_URL": endpoint.url,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
        },
        **others,
    )


@asynccontextmanager
async def serving() -> AsyncIterator[AnthropicEndpoint]:
    """Serve a scripted endpoint, which starts and ends on a thread of its own."""
    endpoint = AnthropicEndpoint()
    await to_thread.run_sync(endpoint.__enter__)
    failure: BaseException | None = None
    try:
        yield endpoint
    except BaseException as error:
        failure = error
        raise
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(endpoint.__exit__, None, failure, None)


async def claude_agent_sdk(part: Part, stage: Stage) -> None:
    require_cli()
    tools = [tool_of(function) for function in part.functions]
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        await play(part, tools, home)


async def play(part: Part, tools: list[SdkMcpTool[Any]], home: str) -> None:
    async with serving() as endpoint:
        prompt = f"[script:model] {part.goal}"
        if part.session is None:
            endpoint.script("model", prefixed(part.script, "own"))
            server = sdk.create_sdk_mcp_server("own", tools=tools)
            options = options_for(endpoint, home, mcp_servers={"own": server}, allowed_tools=["mcp__own"])
            async with ClaudeSDKClient(options) as client:
                await client.query(prompt)
                async for _ in client.receive_response():
                    pass
            return
        domain, session = part.governed
        endpoint.script("model", prefixed(part.script, "coagent"))
        governed = govern_tools(tools, domain, session, part.declarations)
        await run_to_commit(prompt, governed, options_for(endpoint, home))
