"""A second reading of JSON Schema: the words that msgspec writes, and no others."""

import math

_TYPES = {
    "null": type(None), "boolean": bool, "string": str, "array": list, "object": dict,
}  # fmt: skip
_KNOWN = {
    "$ref", "anyOf", "type", "enum", "properties", "required", "additionalProperties", "items",
    "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "title", "description", "default", "const", "format",
}  # fmt: skip


def faults(value, schema, components, where="$"):
    """Return what is wrong with a value, a line for each fault."""
    assert set(schema) <= _KNOWN, set(schema) - _KNOWN
    if "$ref" in schema:
        return faults(value, components[schema["$ref"].rpartition("/")[2]], components, where)
    if "anyOf" in schema:
        found = [faults(value, each, components, where) for each in schema["anyOf"]]
        return [] if [] in found else [f"{where}: no alternative fits: {found}"]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{where}: {value!r} is none of the enum"]
    if "type" not in schema:
        return []
    if not _is_of(value, schema["type"]):
        return [f"{where}: {value!r} is no {schema['type']}"]
    if isinstance(value, dict):
        return _of_object(value, schema, components, where)
    if isinstance(value, list):
        found = []
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            found.append(f"{where}: {len(value)} items")
        for place, each in enumerate(value):
            found += faults(each, schema.get("items", {}), components, f"{where}[{place}]")
        return found
    if isinstance(value, int | float) and not isinstance(value, bool):
        lowest, highest = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        if not lowest <= value <= highest or value <= schema.get("exclusiveMinimum", -math.inf):
            return [f"{where}: {value} is out of range"]
    return []


def _is_of(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, _TYPES[name])


def _of_object(value, schema, components, where):
    found = [
        f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value
    ]
    properties = schema.get("properties", {})
    for name, each in value.items():
        of_others = schema.get("additionalProperties", True)
        if name in properties:
            found += faults(each, properties[name], components, f"{where}.{name}")
        elif of_others is False:
            found.append(f"{where}: {name} is not described")
        elif isinstance(of_others, dict):
            found += faults(each, of_others, components, f"{where}.{name}")
    return found
