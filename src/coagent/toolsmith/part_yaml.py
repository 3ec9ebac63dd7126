"""YAML files as nodes, made of the parser's events: no value is constructed, and no alias is copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from coagent.toolsmith.part_documents import DEPTH_MAX, PARTS_MAX, Node, Unclear

# Both give events one by one; libyaml's is fast, and composing nodes with it would recurse on its C stack.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(text: str) -> Iterator[Node]:
    """Yield the documents of a YAML file.

    Raises:
        Unclear: It is no YAML, a key stands twice or is no scalar, or it is nested too deep.
    """
    try:
        loader = _LOADER(text)
        try:
            yield from _documents(loader)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Unclear from None


def _documents(loader: Any) -> Iterator[Node]:
    events = 0
    anchors: dict[str, Node] = {}
    stack: list[_Open] = []
    while loader.check_event():
        event = loader.get_event()
        events += 1
        if events > 2 * PARTS_MAX or len(stack) > DEPTH_MAX:
            raise Unclear
        if isinstance(event, yaml.DocumentStartEvent):
            anchors, stack = {}, [_Open(Node(""), mapping=False)]
        elif isinstance(event, yaml.DocumentEndEvent):
            yield stack[0].node.children[0][1]
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            mapping = isinstance(event, yaml.MappingStartEvent)
            node = Node(("{}" if mapping else "[]") + (f" {event.tag}" if event.tag else ""))
            if event.anchor:
                anchors[event.anchor] = node
            stack[-1].add(node, scalar=False)
            stack.append(_Open(node, mapping))
        elif isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise Unclear
            stack[-1].add(anchors[event.anchor], scalar=False)
        elif isinstance(event, yaml.ScalarEvent):
            tag = event.tag
            if tag is None or tag == "!":
                tag = loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            node = Node(f"{tag} {event.value}")
            if event.anchor:
                anchors[event.anchor] = node
            stack[-1].add(node, scalar=True)


class _Open:
    """A container whose end is still to come."""

    def __init__(self, node: Node, mapping: bool) -> None:
        self.node = node
        self._mapping = mapping
        self._name: str | None = None
        self._names: set[str] = set()

    def add(self, child: Node, *, scalar: bool) -> None:
        """Take the next node: a key, or a value."""
        if not self._mapping:
            self.node.children.append((str(len(self.node.children)), child))
        elif self._name is None:
            name = child.text.partition(" ")[2]
            if not scalar or name in self._names:  # 1 and "1" would be two keys with one name
                raise Unclear
            self._name = name
            self._names.add(name)
        else:
            self.node.children.append((self._name, child))
            self._name = None
