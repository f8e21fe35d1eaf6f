"""What the OpenAPI document says of the bodies that the routes accept, with the limits that are in force."""

from __future__ import annotations

from typing import Any

from deployments.http.bodies import FORM, JSON
from deployments.http.fields import Fields
from deployments.http.json_bodies import IMAGES, JSON_FILES, URL
from deployments.http.parsing import schema_of
from deployments.limits import Limits


def body_schema(fields: type[Fields], limits: Limits) -> dict[str, Any]:
    """Return the description of a route's body: the same fields as a form and as JSON."""
    files = {key: _in_json(key, fields.FILES[file]) for key, file in JSON_FILES.items() if file in fields.FILES}
    return {
        "required": True,
        "content": {
            FORM: {"schema": _with_files(schema_of(fields, limits), fields.FILES, "image")},
            JSON: {"schema": _with_files(schema_of(fields, limits, as_json=True), files, IMAGES)},
        },
    }


def _with_files(schema: dict[str, Any], files: dict[str, Any], required: str) -> dict[str, Any]:
    return schema | {
        "properties": files | schema["properties"],
        "required": [required, *schema.get("required", [])],
    }


def _in_json(key: str, file: dict[str, str]) -> dict[str, Any]:
    """Return the schema of a picture that JSON has in a data: URL, or of the list of one."""
    url = {"type": "string", "pattern": "^data:.*;base64,", "description": "The file in base64. No address is fetched."}
    picture = {"type": "object", "properties": {URL: url}, "required": [URL], "additionalProperties": False}
    if key == IMAGES:
        return {"type": "array", "items": picture, "minItems": 1, "maxItems": 1, "description": "The one picture."}
    return picture | {"description": file["description"]}
