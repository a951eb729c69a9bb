"""Around every request: an id, limits of size and time, security headers, one log line."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringfence.api.problems import problem_response, unexpected
from ringfence.errors import InvalidError, RingfenceError, TooLargeError
from ringfence.settings import LimitSettings
from ringfence.storage.ids import new_id
from ringfence.trust.request import RequestInfo, current_request, request

log = logging.getLogger("ringfence.access")

_HEADERS = {
    "Strict-Transport-Security": "max-age=31536000",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UPLOAD = re.compile(r"PUT /api/v1/datasets/[^/]+/landing")
_BUNDLE = re.compile(r"POST /api/v1/simulators")


class TooSlowError(InvalidError):
    """The client fell silent within its own request."""

    status = 408


@dataclass(frozen=True)
class Allowance:
    """What one request's body may cost: bytes in all, seconds for a part, seconds in all."""

    size: int
    idle: float
    total: float


class Shell:
    """The outermost ASGI layer."""

    def __init__(self, app: ASGIApp, limits: LimitSettings) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        info = RequestInfo(_request_id(headers), (scope.get("client") or ("local",))[0])
        exchange = Exchange(scope, send)
        with request(info):
            await self._answer(scope, headers, receive, exchange)
        log.info("%s %s %s %d %.0f ms %s", info.client, scope["method"], scope["path"], exchange.status,
                 (time.monotonic() - exchange.began) * 1e3, info.id)

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, exchange: Exchange) -> None:
        # The routes know GET only; the server itself leaves the body of a HEAD response out.
        routed = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        allowance = self._allowance(scope)
        try:
            _check_length(headers, allowance)
            await self._app(routed, Limited(receive, allowance), exchange)
        except Exception as error:
            if exchange.status:
                raise
            shown = error if isinstance(error, RingfenceError) else unexpected(scope["method"], scope["path"], error)
            await problem_response(shown)(routed, receive, exchange)

    def _allowance(self, scope: Scope) -> Allowance:
        line, limits = f"{scope['method']} {scope['path'].rstrip('/')}", self._limits
        if _UPLOAD.fullmatch(line):
            return Allowance(limits.upload_bytes, limits.idle_seconds, float("inf"))
        if _BUNDLE.fullmatch(line):
            return Allowance(limits.bundle_bytes, limits.idle_seconds, float("inf"))
        return Allowance(limits.request_bytes, limits.body_seconds, limits.body_seconds)


class Exchange:
    """The sending side: adds the headers and remembers the status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.status, self.began = 0, time.monotonic()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Request-Id"] = current_request().id
        await self._send(message)


class Limited:
    """The receiving side: counts and times the body."""

    def __init__(self, receive: Receive, allowance: Allowance) -> None:
        self._receive, self._allowance = receive, allowance
        self._taken, self._done = 0, False
        self._deadline = time.monotonic() + allowance.total

    async def __call__(self) -> Message:
        if self._done:
            return await self._receive()
        patience = min(self._allowance.idle, self._deadline - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(patience, 0.001))
        except TimeoutError:
            raise TooSlowError("request.too_slow", "The request's body came too slowly.",
                               fix="Check the connection and send it again.") from None
        self._done = message["type"] != "http.request" or not message.get("more_body", False)
        self._taken += len(message.get("body", b""))
        if self._taken > self._allowance.size:
            raise _too_large(self._allowance)
        return message


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _ID.fullmatch(given) else new_id("req")


def _check_length(headers: dict[bytes, bytes], allowance: Allowance) -> None:
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > allowance.size:
        raise _too_large(allowance)


def _too_large(allowance: Allowance) -> TooLargeError:
    return TooLargeError("request.too_large", f"The request is larger than the {allowance.size} bytes that are taken.",
                         fix="Send less, or have the operator raise the limit (RINGFENCE_LIMITS__*).")
