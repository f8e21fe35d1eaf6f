"""The OpenAPI document: what it says of the bodies that the routes accept, with the limits that are in force."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from deployments.http.bodies import FORM, JSON
from deployments.http.fields import EDIT_FORM, LOCATE_FORM, SCORE_FORM, Fields
from deployments.http.json_bodies import IMAGES, JSON_FILES, URL
from deployments.http.parsing import schema_of
from deployments.http.tickets import KEY, KEY_PATTERN
from deployments.limits import Limits

FORMS: dict[str, type[Fields]] = {
    "/v1/images/edits": EDIT_FORM,
    "/v1/locate": LOCATE_FORM,
    "/v1/score": SCORE_FORM,
}
KEY_PARAMETER = {
    "name": KEY,
    "in": "header",
    "description": "A text of your own, a new one for each new request. The same request with the same "
    "key gets the same answer for a while, and the work goes on although the connection breaks.",
    "schema": {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
}


class DocumentedApi(FastAPI):
    """A FastAPI app whose OpenAPI document says what the routes accept at the moment, as a form and as JSON.

    It ends only after `drained` returns.
    """

    def __init__(
        self, limits_of: Callable[[], Limits], middleware: list[Middleware], drained: Callable[[], Awaitable[None]]
    ) -> None:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            yield
            await drained()  # Serve ends an app before its process, and after its requests

        super().__init__(
            lifespan=lifespan,
            title="Retouch",
            summary="Edits a picture by words.",
            middleware=middleware,
            docs_url=None,  # FastAPI's own loads scripts of another host; `site` has ours
            redoc_url=None,
            # A redirect of a POST to another path comes as a surprise, and its address is the client's Host header.
            redirect_slashes=False,
        )
        self._limits_of = limits_of

    def openapi(self) -> dict[str, Any]:
        """Return the document, with the limits that are in force now."""
        document = super().openapi()
        for path, fields in FORMS.items():
            document["paths"][path]["post"]["requestBody"] = body_schema(fields, self._limits_of())
        document["paths"]["/v1/images/edits"]["post"]["parameters"] = [KEY_PARAMETER]
        # FastAPI adds it to routes with parameters, but no text is refused as the name of a model.
        document["paths"]["/v1/models/{model}"]["get"]["responses"].pop("422", None)
        return document


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
