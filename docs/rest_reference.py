"""Hook of mkdocs: the page rest-reference.md, made of the service's OpenAPI document whenever the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from yoloscope.app.main import create_app

Schema = Mapping[str, Any]
PAGE = "rest-reference.md"
START = """# REST reference

Made of the OpenAPI document, which a running service has at `/openapi.json`. [The REST page](rest-api.md) has examples.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those of the site."""
    files.append(File.generated(config, PAGE, content=reference(create_app().openapi())))
    return files


def reference(document: Schema) -> str:
    """Return the page of an OpenAPI document: operations first, then the schemas that they name."""
    parts = [START]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += _operation(f"{method.upper()} {path}", operation)
    parts.append("\n## Schemas\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += _schema(name, schema)
    return "\n".join(parts).rstrip() + "\n"


def _operation(title: str, operation: Schema) -> Iterator[str]:
    summary = operation["summary"]
    end = "" if summary.endswith("?") else "."
    yield f"\n## {title}\n\n{summary}{end} {_text(operation['description'])}\n"
    options = operation.get("parameters", [])
    if options:
        yield "| option | type | default | |\n|---|---|---|---|"
        for option in options:
            schema = option["schema"]
            cells = (f"`{option['name']}`", _type(schema), _default(schema), _text(option.get("description", "")))
            yield _row(cells)
        yield ""
    bodies = operation.get("requestBody", {}).get("content", {})
    if bodies:
        yield "| body | |\n|---|---|"
        yield from (_row((f"`{kind}`", _body(content["schema"]))) for kind, content in bodies.items())
        yield ""
    yield "| status | answer |\n|---|---|"
    for status, answer in operation["responses"].items():
        kinds = (f"`{kind}` {_type(content.get('schema', {}))}" for kind, content in answer.get("content", {}).items())
        yield _row((status, "; ".join(kinds)))
    yield ""


def _body(schema: Schema) -> str:
    if "$ref" in schema or schema.get("format") == "binary":
        return _type(schema)
    required = schema.get("required", ())
    fields = (
        f"`{name}` ({_type(field)}{'' if name in required else ', optional'})"
        for name, field in schema["properties"].items()
    )
    return ", ".join(fields)


def _schema(name: str, schema: Schema) -> Iterator[str]:
    yield f"### {name}\n"
    if schema.get("description"):
        yield f"{_text(schema['description'])}\n"
    fields = schema.get("properties", {})
    if fields:
        required = schema.get("required", ())
        yield "| field | type | default | |\n|---|---|---|---|"
        for field, described in fields.items():
            default = "required" if field in required else _default(described)
            yield _row((f"`{field}`", _type(described), default, _text(described.get("description", ""))))
        yield ""


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    kinds = schema.get("anyOf") or schema.get("oneOf") or ()
    if kinds:
        return " or ".join(dict.fromkeys(_type(kind) for kind in kinds if kind.get("type") != "null"))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    return _plain_type(schema)


def _plain_type(schema: Schema) -> str:
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    if schema.get("format") == "binary":
        return "file"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None:
        return str(schema.get("type", "value"))
    return f"{schema['type']}, {f'at least {low:g}' if high is None else f'{low:g} to {high:.10g}'}"


def _default(schema: Schema) -> str:
    return f"`{schema['default']}`" if schema.get("default") not in (None, "") else ""


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _text(text: str) -> str:
    """Return a description in one line, as text that Markdown does not take for markup."""
    joined = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\[(?=[^\]]*\](?!\())", r"\\[", joined.replace("``", "`"))
