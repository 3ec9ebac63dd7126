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
    """Return the layers as a diagram: an arrow leads from each to the next."""
    lines = ["```mermaid", "flowchart TB"]
    stacked = layers(contracts()["layers"])
    for number, modules in enumerate(stacked, 1):
        lines.append(f'    subgraph L{number}[" "]')
        lines.append("        direction LR")
        lines += [f'        {module.replace(".", "_")}["{module}"]' for module in modules]
        lines.append("    end")
    lines += [f"    L{number} --> L{number + 1}" for number in range(1, len(stacked))]
    return "\n".join([*lines, "```"])


def tree() -> str:
    """Return the packages and modules of the product, and live systems one by one, with what each is for."""
    lines = ["```"]
    for path in sorted(PRODUCT.iterdir(), key=lambda each: (each.is_file(), each.name)):
        name = path.stem
        if path.name.startswith("_") or not (path.suffix == ".py" or (path / "__init__.py").exists()):
            continue
        lines.append(f"{path.name}{'/' * path.is_dir():<{18 - len(path.name)}}{purpose(name)}")
        if name in _OPENED:
            for inner in sorted(each.name for each in path.iterdir() if (each / "__init__.py").exists()):
                lines.append(f"  {inner + '/':<16}{purpose(f'{name}.{inner}')}")
    return "\n".join([*lines, "```"])


def rules() -> str:
    """Return what the other contracts say."""
    return "\n".join(f"- {contract['name']}." for name, contract in contracts().items() if name != "layers")


def drawn(text: str) -> str:
    """Return the document with the tree, the picture and the rules as they are now."""
    for name, block in (("tree", tree()), ("layers", picture()), ("rules", rules())):
        text = with_block(text, name, block)
    return text


if __name__ == "__main__":
    INDEX.write_text(drawn(INDEX.read_text(encoding="utf-8")), encoding="utf-8")
