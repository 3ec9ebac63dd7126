"""The fixtures of the tests with real clients."""

from claude import claude_code, opencode
from claude_workspace import bare, workspace
from other_clients import codex, gemini

__all__ = ["bare", "claude_code", "codex", "gemini", "opencode", "workspace"]
