"""Every error leaves as `application/problem+json` with a stable code (RFC 9457)."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ringfence.errors import InvalidError, MissingError, RingfenceError
from ringfence.trust.request import current_request

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class NotAllowedError(RingfenceError):
    """The path is right, the method is not."""

    status = 405


def problem_response(error: RingfenceError, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the response that carries `error`."""
    content: dict[str, Any] = error.as_problem()
    if identifier := current_request().id:
        content["instance"] = f"urn:ringfence:request:{identifier}"
    extra = dict(headers or {})
    if error.status == 401:
        extra["WWW-Authenticate"] = 'Bearer realm="ringfence"'
    if error.status == 429:
        extra.setdefault("Retry-After", "30")
    return JSONResponse(content, error.status, extra, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(RingfenceError, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _of_the_framework)


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RingfenceError)
    return problem_response(error)


def _not_understood(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    # The value stays out: it may be a password.
    return problem_response(InvalidError("request.invalid", f"The request's {field} can't be taken: {first['msg']}.",
                                         fix="Send it as /api/v1/openapi.json describes.", field=field))


def _of_the_framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, RingfenceError):
        return problem_response(error.__cause__)
    headers = dict(error.headers or {})
    return problem_response(_translated(request, error), headers)


def _translated(request: Request, error: HTTPException) -> RingfenceError:
    path, openapi = request.url.path, "/api/v1/openapi.json lists what there is."
    if error.status_code == 404:
        return MissingError("route.missing", f"There is nothing at {path}.", fix=openapi, field="path", value=path)
    if error.status_code == 405:
        return NotAllowedError("route.method", f"{path} does not take {request.method}.", fix=openapi, field="method",
                               value=request.method)
    return InvalidError("request.unreadable", f"The request can't be read: {error.detail}.", fix="Send valid JSON.")


def unexpected(method: str, path: str, error: Exception) -> RingfenceError:
    """Return what a caller is told of a fault; the log has all of it."""
    identifier = current_request().id
    log.exception("%s %s crashed in request %s", method, path, identifier, exc_info=error)
    return RingfenceError(
        "platform.fault", "The platform met an unexpected fault.",
        fix=f"The server's log has the details under request {identifier}; trying again is safe.")
