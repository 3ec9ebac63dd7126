"""Tools for Markdown documents: agents at different sections of one file do not disturb each other."""

from __future__ import annotations

import re

from coagent.errors import ToolFailed
from coagent.protocol.values import Value
from coagent.systems.documents.markdown import Document, close_section, component, open_fence, parse, paths_of
from coagent.tools.native import tool
from coagent.tools.nearest import nearest
from coagent.tools.off_loop import off_loop
from coagent.tools.state import State

_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s")

_CONTENT_LENGTH_MAX = 100_000
_INLINE_LENGTH = 4_000


@tool
async def doc_outline(state: State, path: str) -> list[dict[str, Value]]:
    """List the headings of a Markdown file, in order.

    Args:
        path: The file, such as `plan.md`.
    """
    return [{"level": level, "heading": heading} for level, heading, _ in await _outline(state, path)]


@tool
async def doc_read_section(state: State, path: str, heading: str, subsections: bool = False) -> str:
    """Read the text of one section of a Markdown file, up to the next heading.

    Args:
        path: The file.
        heading: Its title, or its path (`Goals/Budget`) where the title stands more than once; "" for what
            comes before the first heading.
        subsections: Read the sections below it too.
    """
    if not heading:
        return await state.get(f"doc:{path}#/") or ""
    outline = await _outline(state, path)
    index = _find(outline, path, heading)
    text: str = await state.get(f"doc:{path}#{outline[index][1]}") or ""
    if subsections:
        for level, below, source in outline[index + 1 :]:
            if level <= outline[index][0]:
                break
            text += source + (await state.get(f"doc:{path}#{below}") or "")
    return text.strip("\r\n")


@tool
async def doc_replace_section(state: State, path: str, heading: str, content: str) -> str:
    """Replace the text of one section of a Markdown file, up to the next heading; subsections stay.

    Args:
        path: The file.
        heading: Its title, or its path (`Goals/Budget`) where the title stands more than once.
        content: The new text, without the heading itself.
    """
    outline = await _outline(state, path)
    index = _find(outline, path, heading)
    content = await _without_heading(content, outline[index])
    await _refuse_headings(content)
    await _close_heading(state, path, outline, index)
    name: str = outline[index][1]
    body, note = await _close_fence(_body(content, outline), _line_end(outline))
    await state.put(f"doc:{path}#{name}", body)
    return f"replaced section {name!r}{note}"


@tool
async def doc_append_to_section(state: State, path: str, heading: str, content: str) -> str:
    """Add text at the end of one section of a Markdown file, before its subsections.

    Args:
        path: The file.
        heading: Its title, or its path (`Goals/Budget`) where the title stands more than once.
        content: The text to add, as a new paragraph or as further items of the list it ends with.
    """
    outline = await _outline(state, path)
    index = _find(outline, path, heading)
    await _refuse_headings(content)
    await _close_heading(state, path, outline, index)
    key = f"doc:{path}#{outline[index][1]}"
    old: str | None = await state.get(key)
    end = _line_end(outline)
    if old is None or not old.strip():
        body = _body(content, outline)
    else:
        text = re.sub(r"\r\n?|\n", end, content.strip("\r\n").rstrip())
        kept = old.rstrip()
        listed = _ITEM.match(text) and _ITEM.match(kept.splitlines()[-1])
        body = f"{kept}{end if listed else end + end}{text}{end}"
    body, note = await _close_fence(body, end)
    await state.put(key, body)
    return f"added to section {outline[index][1]!r}{note}"


@tool
async def doc_append_section(state: State, path: str, heading: str, content: str, level: int = 2) -> str:
    """Add a section at the end of a Markdown file; the file is created where it does not exist.

    Args:
        path: The file.
        heading: The title of the new section.
        content: Its text; headings in it become further sections.
        level: 1 to 6, the number of `#`.
    """
    title = " ".join(heading.lstrip("#").split())
    if not 1 <= level <= 6 or not title:
        raise ToolFailed(
            f"there is no heading {title!r} of level {level}", "Give a title, and a level from 1 to 6."
        )
    found: list[list[Value]] | None = await state.get(f"doc:{path}#")
    outline = found or []
    before = f"doc:{path}#{outline[-1][1] if outline else '/'}"
    last: str | None = await state.get(before)
    end = _line_end(outline, last or "")
    text = f"{'#' * level} {title}\n" + (f"\n{content.strip()}\n" if content.strip() else "")
    whole, note = await _close_fence(re.sub(r"\r\n?|\n", end, text), end)
    new = await _parse_content(whole or "")
    if new.headings[0].level != level or any(other.level <= level for other in new.headings[1:]):
        raise ToolFailed(
            "a heading in the content is not below the new section", "Append it as a section of its own."
        )
    if last is not None:
        if (kept := close_section(last, end) or None) != last:
            await state.put(before, kept)
    elif outline and not outline[-1][2].endswith(("\n", "\r")):
        outline[-1][2] += end
    steps = [(int(old[0]), _own_step(old[1])) for old in outline]
    steps += [(added.level, component(_title(added.source))) for added in new.headings]
    paths = paths_of(steps)[len(outline) :]
    first = not outline and last is None
    for index, (added, name) in enumerate(zip(new.headings, paths, strict=True)):
        outline.append([added.level, name, added.source if first or index else end + added.source])
    await state.put(f"doc:{path}#", outline)
    for added, name in zip(new.headings, paths, strict=True):
        await state.put(f"doc:{path}#{name}", new.bodies.get(added.path))
    return f"added section {paths[0]!r}{note}"


async def _outline(state: State, path: str) -> list[list[Value]]:
    outline: list[list[Value]] | None = await state.get(f"doc:{path}#")
    if outline is None:
        files = sorted({key[4:-1] for key in await state.list("doc:") if key.endswith("#")})
        near = nearest(path, files)
        cure = f"Did you mean {near!r}?" if near else f"There are: {', '.join(files[:20]) or 'none yet'}."
        raise ToolFailed(f"there is no document {path!r}", cure)
    return outline


def _find(outline: list[list[Value]], path: str, heading: str) -> int:
    """Return the index of a heading, given by its path or by its title."""
    wanted = heading.lstrip("#").strip()
    paths: list[str] = [entry[1] for entry in outline]
    if wanted in paths:
        return paths.index(wanted)
    named = [
        at
        for at, candidate in enumerate(paths)
        if candidate.endswith(f"/{wanted}") or _title(outline[at][2]) == wanted
    ]
    if len(named) == 1:
        return named[0]
    if named:
        raise ToolFailed(
            f"{path!r} has {len(named)} sections {heading!r}",
            f"Write one of: {_list_sections(paths, named)}.",
        )
    near = nearest(wanted, paths, 0.4)
    cure = f"Did you mean {near!r}?" if near else f"It has: {_list_sections(paths, range(len(paths)))}."
    raise ToolFailed(f"{path!r} has no section {heading!r}", cure)


def _list_sections(paths: list[str], chosen: range | list[int]) -> str:
    return ", ".join(repr(paths[index]) for index in list(chosen)[:20]) or "none"


def _title(source: str) -> str:
    """Return the title in a heading's source, `## Title ##` or underlined."""
    lines = [line.strip() for line in source.strip().splitlines()]
    if lines[0].startswith("#"):
        return re.sub(r"\A#+[ \t]*|[ \t]+#+\Z", "", lines[0]).strip()
    return " ".join(lines[:-1])


def _own_step(path: str) -> str:
    """Return a path's last step without the number that tells titles of one name apart."""
    return re.sub(r"~\d+\Z", "", path.rpartition("/")[2])


async def _parse_content(text: str) -> Document:
    """Return what an agent's text holds; a long one is read in a thread.

    Raises:
        ToolFailed: It is so long that this would take seconds.
    """
    if len(text) > _CONTENT_LENGTH_MAX:
        raise ToolFailed(
            f"the content has {len(text)} characters, more than {_CONTENT_LENGTH_MAX}",
            "Write it in parts: further sections, or text that is added to this one.",
        )
    if len(text) <= _INLINE_LENGTH:
        return parse(text)
    return await off_loop(lambda stopped: parse(text))


async def _without_heading(content: str, entry: list[Value]) -> str:
    """Drop the section's own heading, which models like to repeat, from the start of its new text."""
    first = await _parse_content(content.lstrip("\r\n"))
    if first.headings and not first.preamble.strip() and _title(first.headings[0].source) == _title(entry[2]):
        return content.lstrip("\r\n")[len(first.headings[0].source) :]
    return content


async def _refuse_headings(content: str) -> None:
    found = (await _parse_content(content)).headings
    if found:
        raise ToolFailed(
            f"the content holds a heading, {_title(found[0].source)!r}",
            "A section's text ends at the next heading: add sections with doc_append_section.",
        )


async def _close_heading(state: State, path: str, outline: list[list[Value]], index: int) -> None:
    """End the line of a heading that ends the file without one."""
    if not outline[index][2].endswith(("\n", "\r")):
        outline[index][2] += _line_end(outline)
        await state.put(f"doc:{path}#", outline)


def _body(content: str, outline: list[list[Value]]) -> str | None:
    if not content.strip():
        return None
    return re.sub(r"\r\n?|\n", _line_end(outline), "\n" + content.strip("\r\n").rstrip() + "\n")


async def _close_fence(text: str | None, end: str) -> tuple[str | None, str]:
    """Return a text with its last code fence closed, which would hide headings, and what to say of that."""
    if text is None:
        return None, ""
    short = len(text) <= _INLINE_LENGTH
    fence = open_fence(text) if short else await off_loop(lambda stopped: open_fence(text))
    if not fence:
        return text, ""
    return f"{text.rstrip()}{end}{fence}{end}", "; its code fence was left open, and is closed now"


def _line_end(outline: list[list[Value]], preamble: str = "") -> str:
    return "\r\n" if any("\r\n" in text for text in (preamble, *(entry[2] for entry in outline))) else "\n"


DOCUMENT_TOOLS = [
    doc_outline,
    doc_read_section,
    doc_replace_section,
    doc_append_to_section,
    doc_append_section,
]
"""All of them, for `open_domain(tools=...)`."""
