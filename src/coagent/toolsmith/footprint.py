"""What a call of a grown tool may change, and what of that which it changed it may not.

A key names a file (`file:etc/hosts`), all below a folder (`file:docs/`), or a part of a structured file
(`json:config/app.json#/limits/rate`, see `parts.py`). A change of a file must be covered by one of them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping

from coagent.content import Content, above
from coagent.toolsmith.parts import changed_keys
from coagent.toolsmith.spec import ToolSpec

_FIELD = re.compile(r"\{(\w+)\}")


def fill_templates(spec: ToolSpec, templates: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """Return key templates with the values of a call put in, in one form.

    Args:
        spec: The tool; its paths are brought to one form.
        templates: Such as `file:{file}`.
        values: As `arguments.check_arguments` returned them.
    """

    def value(found: re.Match[str]) -> str:
        text = values[found[1]]
        return posixpath.normpath(text) if spec.parameters[found[1]].type == "path" else text

    keys = []
    for template in templates:
        scheme, _, rest = template.partition(":")
        path, mark, part = rest.partition("#")
        name = _FIELD.sub(value, path)
        name = name.removeprefix("./") if name != "./" else ""
        keys.append(f"{scheme}:{name}{mark}{_FIELD.sub(value, part)}")
    return keys


def outside(
    keys: Iterable[str], changes: Mapping[str, Content | None], before: Callable[[str], Content | None]
) -> list[str]:
    """Return what of the changes no key covers.

    Args:
        keys: What may be changed.
        changes: By relative path; None where the file is gone.
        before: Returns a file as it was.
    """
    known = list(keys)
    rest = changes.keys() - emptied_folders(changes)
    return sorted(part for path in rest for part in _uncovered(known, path, before(path), changes[path]))


def emptied_folders(changes: Mapping[str, Content | None]) -> set[str]:
    """Return the folders that became empty, or are no more, for what was changed in them."""
    inside = {parent for path in changes for parent in above(path)}
    return {
        path
        for path, content in changes.items()
        if path in inside and (content is None or not content.is_file)
    }


def _uncovered(keys: list[str], path: str, old: Content | None, new: Content | None) -> list[str]:
    if any(
        f"file:{path}" == key or (key.endswith(("/", ":")) and f"file:{path}".startswith(key)) for key in keys
    ):
        return []
    finer = [key for key in keys if "#" in key and key.partition(":")[2].partition("#")[0] == path]
    if not finer or old is None or new is None or old[1:] != new[1:]:  # what else than its bytes
        return [f"file:{path}"]
    parts = changed_keys(path, old.data, new.data)
    if parts is None:
        return [f"file:{path}"]
    return [
        part for part in parts if not any(_covers(key, part) for key in finer) and part != f"layout:{path}"
    ]


def _covers(key: str, part: str) -> bool:
    """Tell whether a key covers a part: the part itself, what is in it, or what had to be made around it.

    `#*/` stands for any section, or none.
    """
    file, any_section, name = key.partition("#*/")
    if any_section:
        return bool(name) and part.startswith(f"{file}#") and part.endswith(f"/{name}")
    return part == key or part.startswith(f"{key}/") or key.startswith(f"{part}/")


def observed_templates(spec: ToolSpec, values: Mapping[str, str], changed: Iterable[str]) -> list[str]:
    """Return key templates for files that a run changed, by the parameters that name them."""
    paths = {name: posixpath.normpath(value) for name, value in values.items() if value}
    places = [name for name in paths if spec.parameters[name].type == "path"]
    found = dict.fromkeys(_template(spec, paths, places, path) for path in sorted(changed))
    return list(found)


def _template(spec: ToolSpec, paths: Mapping[str, str], places: list[str], path: str) -> str:
    for name in places:
        if paths[name] == path:
            return f"file:{{{name}}}"
    for name in places:
        ending = path.removeprefix(paths[name])
        if ending != path and re.fullmatch(r"\.[a-z0-9]{1,8}", ending):  # gzip's .gz and its like
            return f"file:{{{name}}}{ending}"
    for name in places:
        if path.startswith(f"{paths[name]}/") or paths[name] == ".":
            for other in paths:
                if posixpath.normpath(f"{paths[name]}/{paths[other]}") == path:
                    return f"file:{{{name}}}/{{{other}}}"
            return f"file:{{{name}}}/"
    return f"file:{path}"
