"""One HTTPS connection pool to a platform: TLS 1.3 with its own authority, errors as exceptions."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

from ringfence import __version__
from ringfence.errors import InvalidError, RingfenceError, UnavailableError, from_problem

Json = dict[str, Any]

_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_PATIENT = httpx.Timeout(600.0, connect=10.0)


class Transport:
    """Sends requests; every answer that is not a success is raised as the error that the platform meant."""

    def __init__(self, url: str, ca: Path | None, token: str | None) -> None:
        if not url.startswith("https://"):
            raise InvalidError("client.url", f"{url or 'An empty text'} is not an https:// URL.", field="url",
                               value=url, fix="Give the platform's URL as `ringfence up` printed it.")
        self._url = url.rstrip("/")
        self._http = httpx.Client(base_url=self._url, verify=_trusting(ca), timeout=_TIMEOUT, trust_env=False,
                                  headers={"User-Agent": f"ringfence/{__version__}"})
        self.token = token

    def call(self, method: str, path: str, *, json: Any = None, query: Json | None = None) -> Json:
        """Return the JSON body of one exchange.

        Raises:
            RingfenceError: the kind that the platform answered with.
            UnavailableError: the platform can't be reached, or is not the one that the authority vouches for.
        """
        response = self._exchange(method, path, json=json, params=query)
        return self._body(response)

    def download(self, path: str) -> bytes:
        """Return the raw body of a GET. Raises as `call`."""
        return self._exchange("GET", path).content

    def lines(self, path: str) -> Iterator[str]:
        """Yield the lines of a streamed GET. Raises as `call`."""
        try:
            with self._http.stream("GET", path, headers=self._headers()) as response:
                if not response.is_success:
                    response.read()
                    raise _error(response)
                yield from response.iter_lines()
        except (httpx.TransportError, ssl.SSLError) as error:
            raise self._unreachable(error) from error

    def stream(self, method: str, path: str, json: Any) -> Iterator[bytes]:
        """Yield the raw body of an answer that may take its time. Raises as `call`."""
        begun = False
        try:
            with self._http.stream(method, path, headers=self._headers(), json=json, timeout=_PATIENT) as response:
                if not response.is_success:
                    response.read()
                    raise _error(response)
                begun = True
                yield from response.iter_raw()
        except (httpx.TransportError, ssl.SSLError) as error:
            if begun:
                raise UnavailableError("client.cut_off", "The platform's answer broke off before its end.",
                                       fix="Try again; the server's log has the reason.") from error
            raise self._unreachable(error) from error

    def send(self, method: str, path: str, parts: Iterable[bytes], headers: dict[str, str]) -> Json:
        """Stream a body up; return the JSON answer. Raises as `call`."""
        return self._body(self._exchange(method, path, content=parts, headers=headers))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _exchange(self, method: str, path: str, *, headers: dict[str, str] | None = None, **arguments: Any,
                  ) -> httpx.Response:
        try:
            response = self._http.request(method, path, headers={**self._headers(), **(headers or {})}, **arguments)
        except (httpx.TransportError, ssl.SSLError) as error:
            raise self._unreachable(error) from error
        if not response.is_success:
            raise _error(response)
        return response

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def _body(self, response: httpx.Response) -> Json:
        if not response.content:
            return {}
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise UnavailableError("client.not_ringfence", f"What answers at {self._url} is not Ringfence.",
                                   fix="Check the URL.", field="url", value=self._url)
        return body

    def _unreachable(self, error: Exception) -> UnavailableError:
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
            return UnavailableError("client.untrusted", f"The certificate of {self._url} is not the platform's own.",
                                    fix="Give the authority's file with `ringfence login --ca`.", field="ca")
        if isinstance(error, httpx.TimeoutException):
            return UnavailableError("client.timeout", f"{self._url} does not answer in time.",
                                    fix="Try again; `ringfence status` says how the platform does.")
        return UnavailableError("client.unreachable", f"Nothing answers at {self._url}.", field="url", value=self._url,
                                fix="Start the platform with `ringfence up`, or check the URL.")


def _trusting(ca: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidError("client.ca", f"{ca} is not a certificate authority's PEM file.", field="ca", value=str(ca),
                           fix="Give the platform's platform/ca/ca.pem.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _error(response: httpx.Response) -> RingfenceError:
    try:
        problem = response.json()
        return from_problem({"status": response.status_code, **problem})
    except (ValueError, TypeError):
        return from_problem({"status": response.status_code, "code": "client.unexpected",
                             "title": f"The platform answered {response.status_code} without a reason.",
                             "fix": "Check the URL; the server's log may say more."})
