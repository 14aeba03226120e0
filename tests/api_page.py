"""The tables of docs/api.md, every address of the API with its parameters and answers: `python -m tests.api_page`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.http.openapi import document

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parent.parent / "docs/api.md"
BEGIN, END = "<!-- made by `make docs` from the code -->\n", "<!-- end -->\n"


def tables() -> str:
    """What stands between the two comments."""
    return "".join(
        "\n".join(_section(address.removeprefix("/api/v1"), method, operation)) + "\n"
        for address, found in document()["paths"].items()
        for method, operation in found.items()
    )


def page(text: str) -> str:
    """The page with its tables as the code has them."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables()}{END}{after}"


def _section(place: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {method.upper()} {place}\n"
    yield operation["summary"] + (f" {operation['description']}" if "description" in operation else "")
    answer = operation["responses"]["200"]["content"]
    yield f"\nAnswers with {_said(answer)}.\n"
    parameters = operation.get("parameters", [])
    body = operation.get("requestBody")
    if not parameters and not body:
        return
    yield "| parameter | what it is | values |"
    yield "|---|---|---|"
    for one in parameters:
        where = {"path": "in the address", "header": "a header"}.get(one["in"], "")
        named = ", ".join(filter(None, [f"`{one['name']}`", where, "needed" if one.get("required") else ""]))
        yield f"| {named} | {one.get('description', '')} | {_values(one['schema'])} |"
    if body:
        schema = body["content"]["application/json"]["schema"]
        for name, one in schema["properties"].items():
            needed = ", needed" if name in schema["required"] else ""
            yield f"| `{name}`, in the body{needed} | {one.get('description', '')} | {_values(one)} |"


def _said(content: dict[str, Any]) -> str:
    [(media, one)] = content.items()
    schema = one["schema"]
    if "x-item-schema" in one:
        return f"`{media}`, a {_name(one['x-item-schema'])} a line"
    if schema.get("type") == "array":
        return f"an array of {_name(schema['items'])}"
    return _name(schema) if media == "application/json" else f"`{media}`"


def _name(schema: dict[str, Any]) -> str:
    return f"`{schema['$ref'].rpartition('/')[2]}`" if "$ref" in schema else "an object"


def _values(schema: dict[str, Any]) -> str:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
    if kinds == ["array"]:
        again = " (repeatable)" if "maxItems" not in schema else ", a list"
        return _values(schema["items"]) + again
    if "enum" in schema:
        text = ", ".join(f"`{word}`" for word in schema["enum"])
    elif "minimum" in schema:
        text = f"{schema['minimum']:,} to {schema['maximum']:,}"
    else:
        text = {"string": "text", "boolean": "`true`, `false`"}.get("".join(kinds), "".join(kinds))
    default = schema.get("default")
    return text if default is None or default is False else f"{text}; else `{default}`"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
