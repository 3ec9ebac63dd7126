"""Draws the tree and who may import whom into docs/index.md, from the code and the contracts about imports.

`python tests/docs/architecture.py` writes it; a test sees that it is up to date.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

from marked import with_block

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "index.md"
PICTURE = ROOT / "docs" / "architecture.svg"
_WIDTH, _GAP, _INNER_WIDTH, _FLOOR, _TOP = 760, 40, 420, 36, 32
"""Of the picture, in pixels."""
PRODUCT = ROOT / "src" / "coagent"
_OPENED = ("systems", "gateways")
"""Packages of which the tree shows what is in them."""
_SOURCES = [ROOT / "src", *sorted((ROOT / "packages").glob("*/src"))]


def contracts() -> dict[str, dict[str, Any]]:
    """Return the contracts about imports by their ids."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return {contract["id"]: contract for contract in listed}


def layers(contract: dict[str, Any]) -> list[list[str]]:
    """Return the layers of a contract from the top: the modules of each, which do not know each other."""
    return [
        [module.strip(" ()").removeprefix("coagent.") for module in layer.split("|")]
        for layer in contract["layers"]
    ]


def purpose(module: str) -> str:
    """Return the first sentence of what a module says of itself."""
    inner = module if module.startswith(("coagent_", "kube_")) else f"coagent/{module.replace('.', '/')}"
    for source in _SOURCES:
        for path in (source / inner / "__init__.py", source / f"{inner}.py"):
            if path.exists():
                said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
                return " ".join(said.split("\n\n")[0].split())
    raise LookupError(f"the contract names {module!r}, and there is no such module")


def picture() -> str:
    """Return the layers as an SVG picture: floors, and beside them those within the floor of live systems."""
    whole, inner = layers(contracts()["layers"]), layers(contracts()["systems"])
    inner = [[module.removeprefix("systems.") for module in modules] for modules in inner]
    parts = [
        *_floors(whole, 0, _WIDTH, "each may import what lies below"),
        *_floors(inner, _WIDTH + _GAP, _INNER_WIDTH, "within systems"),
    ]
    size = f'width="{_WIDTH + _GAP + _INNER_WIDTH}" height="{_TOP + len(whole) * _FLOOR}"'
    style = 'font-family="system-ui, sans-serif" font-size="13" text-anchor="middle"'
    back = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', back, *parts, "</svg>", ""])


def _floors(
    stacked: list[list[str]], left: int, width: int, title: str = "may import what lies below"
) -> list[str]:
    """Return the drawing of some layers, the first on top."""
    parts = [f'<text x="{left + width // 2}" y="20" fill="#555555">{title}</text>']
    for number, modules in enumerate(stacked):
        top, room = _TOP + number * _FLOOR, width // len(modules)
        for place, module in enumerate(modules):
            x = left + place * room
            parts.append(
                f'<rect x="{x + 2}" y="{top}" width="{room - 4}" height="{_FLOOR - 6}" rx="4" '
                'fill="#eef3fb" stroke="#5b7db1"/>'
            )
            parts.append(f'<text x="{x + room // 2}" y="{top + 20}" fill="#1b2a41">{module}</text>')
    return parts


def tree() -> str:
    """Return the packages and modules of the product, and live systems one by one, with what each is for."""
    rows = ["| in `src/coagent/` | what it says of itself |", "|---|---|"]
    for path in sorted(PRODUCT.iterdir(), key=lambda each: (each.is_file(), each.name)):
        name = path.stem
        if path.name.startswith("_") or not (path.suffix == ".py" or (path / "__init__.py").exists()):
            continue
        rows.append(f"| `{path.name}{'/' * path.is_dir()}` | {purpose(name)} |")
        if name in _OPENED:
            for inner in sorted(each.name for each in path.iterdir() if (each / "__init__.py").exists()):
                rows.append(f"| `{name}/{inner}/` | {purpose(f'{name}.{inner}')} |")
    return "\n".join(rows)


def rules() -> str:
    """Return what the other contracts say."""
    return "\n".join(f"- {contract['name']}." for name, contract in contracts().items() if name != "layers")


def drawn(text: str) -> str:
    """Return the document with the tree and the rules as they are now."""
    for name, block in (("tree", tree()), ("rules", rules())):
        text = with_block(text, name, block)
    return text


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    INDEX.write_text(drawn(INDEX.read_text(encoding="utf-8")), encoding="utf-8")
