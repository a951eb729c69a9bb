"""`Client`: one typed method for each route of the API, the same for a local and a remote platform."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from ringfence.client.transport import Json, Transport
from ringfence.client.upload import OnShare, file_digest, file_parts, pack
from ringfence.errors import InvalidError, UnavailableError, from_problem

OnView = Callable[[Json], None]

_API = "/api/v1"
_WAIT_SECONDS = 20
_RESTART_SECONDS = 30.0


class Client:
    """A connection to one platform. Use it as a context manager, or close it.

    Every method raises the kinds of `ringfence.errors`: DeniedError with the rule that refused, InvalidError with
    the field that is wrong, UnavailableError when nothing answers.
    """

    def __init__(self, url: str, ca: Path | None = None, token: str | None = None) -> None:
        """Prepare (nothing is sent yet): `ca` is the platform's authority in PEM, `token` a session's or an API key."""
        self._transport = Transport(url, ca, token)
        self.url = url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # Who is it

    def bootstrap(self, token: str, name: str, password: str) -> Json:
        """Create the first administrator with the one-time token from the platform's home."""
        return self._post("/bootstrap", token=token, name=name, password=password)

    def login(self, name: str, password: str) -> Json:
        """Open a session; this client uses its token from now on. Returns token, expires_at, actor."""
        session = self._post("/sessions", name=name, password=password)
        self._transport.token = str(session["token"])
        return session

    def whoami(self) -> Json:
        """Return whom this client's credential stands for."""
        return self._get("/whoami")

    def create_account(self, name: str, *, kind: str = "person", roles: Sequence[str], password: str | None = None,
                       person: str = "") -> Json:
        """Create an account; a person without a password gets a random one, returned this once."""
        return self._post("/accounts", name=name, kind=kind, roles=list(roles), password=password, person=person)

    def accounts(self) -> list[Json]:
        """Return the project's accounts."""
        return self._items("/accounts")

    def disable_account(self, name: str) -> Json:
        """End an account at once."""
        return self._post(f"/accounts/{_word(name)}/disable")

    def create_key(self, account: str, *, scopes: Sequence[str] = (), days: int = 90) -> Json:
        """Create an API key; its `secret` is returned this once."""
        return self._post("/keys", account=account, scopes=list(scopes), days=days)

    def revoke_key(self, identifier: str) -> None:
        """Revoke an API key at once."""
        self._transport.call("DELETE", f"{_API}/keys/{_word(identifier)}")

    # The platform

    def status(self) -> Json:
        """Return the version, whether the worker lives, and what the fences enforce."""
        return self._get("/status")

    def add_policy(self, name: str, rego: str) -> Json:
        """Add a rule module, which can only deny, to the project."""
        return self._post("/policies", name=name, rego=rego)

    def policies(self) -> list[Json]:
        """Return the project's rule modules."""
        return self._items("/policies")

    def job(self, identifier: str, wait: float = 0.0) -> Json:
        """Return a job, at the latest `wait` seconds (at most 25) later, sooner when it changes."""
        return self._get(f"/jobs/{_word(identifier)}", wait=wait)

    def wait_job(self, identifier: str, on_progress: OnView | None = None) -> Json:
        """Wait until a job has ended; return it.

        Raises:
            RingfenceError: the job failed, with the kind and the reason of its failure.
        """
        wait = 0
        while True:
            view = _outlasting_a_restart(partial(self.job, identifier, wait))
            if on_progress:
                on_progress(view)
            if view["state"] == "failed":
                raise from_problem(view["error"] or {})
            if view["state"] == "done":
                return view
            wait = _WAIT_SECONDS

    # Data

    def declare_dataset(self, declaration: str) -> Json:
        """Declare a dataset in YAML."""
        return self._post("/datasets", declaration=declaration)

    def datasets(self) -> list[Json]:
        """Return the project's datasets."""
        return self._items("/datasets")

    def dataset(self, name: str) -> Json:
        """Return one dataset with its versions and findings."""
        return self._get(f"/datasets/{_word(name)}")

    def ingest(self, name: str, path: Path, on_progress: OnShare | None = None) -> Json:
        """Stream a raw CSV file into the landing zone; return the job that parses it."""
        digest = file_digest(path)
        headers = {"Content-Type": "text/csv", "Content-Length": str(path.stat().st_size), "X-Content-SHA256": digest}
        return self._transport.send("PUT", f"{_API}/datasets/{_word(name)}/landing", file_parts(path, on_progress),
                                    headers)

    def read_raw(self, name: str) -> Json:
        """Ask for the raw file: policy refuses every person, and the trail has the question."""
        return self._get(f"/datasets/{_word(name)}/landing")

    def classify(self, name: str) -> Json:
        """Start looking for what identifies people; return the job."""
        return self._post(f"/datasets/{_word(name)}/classifications")

    def release(self, name: str) -> Json:
        """Start de-identifying and deciding on a new version; return the job."""
        return self._post(f"/datasets/{_word(name)}/releases")

    # Simulators and runs

    def build_simulator(self, folder: Path, on_progress: OnShare | None = None) -> Json:
        """Pack a simulator project and hand it in; return the job that inspects it."""
        bundle = pack(folder)

        def parts() -> Iterator[bytes]:
            for start in range(0, len(bundle), 1 << 20):
                yield bundle[start:start + (1 << 20)]
                if on_progress:
                    on_progress(min((start + (1 << 20)) / len(bundle), 1.0))

        headers = {"Content-Type": "application/x-tar", "Content-Length": str(len(bundle))}
        return self._transport.send("POST", f"{_API}/simulators", parts(), headers)

    def simulators(self) -> list[Json]:
        """Return the admitted simulators."""
        return self._items("/simulators")

    def simulator(self, reference: str) -> Json:
        """Return one simulator, by name or digest."""
        return self._get(f"/simulators/{_word(reference)}")

    def simulator_sbom(self, reference: str) -> Json:
        """Return a simulator's bill of materials (CycloneDX 1.6)."""
        return self._get(f"/simulators/{_word(reference)}/sbom")

    def verify_simulator(self, reference: str) -> Json:
        """Have the platform verify the bundle that it stores."""
        return self._get(f"/simulators/{_word(reference)}/verification")

    def remove_simulator(self, reference: str) -> Json:
        """Remove a simulator that no run uses, by name@version or digest."""
        return self._transport.call("DELETE", f"{_API}/simulators/{_word(reference)}")

    def submit_run(self, spec: str) -> Json:
        """Submit a training run from its YAML specification; return the run."""
        return self._post("/runs", spec=spec)

    def runs(self) -> list[Json]:
        """Return the project's runs."""
        return self._items("/runs")

    def run(self, identifier: str) -> Json:
        """Return one run."""
        return self._get(f"/runs/{_word(identifier)}")

    def run_metrics(self, identifier: str, after: int = -1) -> list[Json]:
        """Return what a run measured after its metric number `after`, to the latest."""
        metrics: list[Json] = []
        while page := self._items(f"/runs/{_word(identifier)}/metrics", after=after):
            metrics += page
            after = int(page[-1]["number"])
        return metrics

    def wait_run(self, identifier: str, states: Collection[str] = ("done",), on_progress: OnView | None = None) -> Json:
        """Wait until a run is in one of `states` or has failed; return it, failed or not.

        It looks at the run's job, and at the run itself only when the job has moved on to another phase: each look
        at a run is a record in the trail.
        """
        phase = ""
        while True:
            view = _outlasting_a_restart(partial(self.run, identifier))
            while True:
                if on_progress:
                    on_progress(view)
                if view["state"] in states or view["state"] == "failed":
                    return view
                job = _outlasting_a_restart(partial(self.job, str(view["job"]), 1.0))
                view = {**view, "share": job["share"], "text": job["text"]}
                now = f"{job['state']} {str(job['text']).partition(':')[0]}"
                if now != phase:
                    phase = now
                    break

    # Models and endpoints

    def models(self) -> list[Json]:
        """Return every model's versions."""
        return self._items("/models")

    def model(self, reference: str) -> Json:
        """Return a model version, `name@3`, or the latest of `name`."""
        name, _, version = reference.partition("@")
        return self._get(f"/models/{_word(name)}/{_word(version)}" if version else f"/models/{_word(name)}")

    def model_package(self, reference: str) -> bytes:
        """Return the signed package of `name@3`."""
        return self._transport.download(f"{_API}{_version(reference)}/package")

    def verify_model(self, reference: str) -> Json:
        """Have the platform verify the package that it stores."""
        return self._get(f"{_version(reference)}/verification")

    def request_promotion(self, reference: str, stage: str, reason: str) -> Json:
        """Ask that `name@3` be promoted; somebody else approves."""
        return self._post(f"{_version(reference)}/promotions", stage=stage, reason=reason)

    def approve_promotion(self, identifier: str, reason: str) -> Json:
        """Approve somebody else's request."""
        return self._post(f"/promotions/{_word(identifier)}/approval", reason=reason)

    def deploy(self, name: str, model: str) -> Json:
        """Serve a production model version under a name."""
        return self._post("/endpoints", name=name, model=model)

    def endpoints(self) -> list[Json]:
        """Return the project's endpoints."""
        return self._items("/endpoints")

    def endpoint(self, name: str) -> Json:
        """Return one endpoint."""
        return self._get(f"/endpoints/{_word(name)}")

    def infer(self, endpoint: str, request: Json) -> Json:
        """Send an Open Inference Protocol v2 request; return its response."""
        return self._transport.call("POST", f"/v2/models/{_word(endpoint)}/infer", json=request)

    # The trail

    def search_audit(self, **wanted: Any) -> list[Json]:
        """Return audit records: by actor, action, resource, outcome; the newest `limit`, newest first, or with
        `after` (a record's number, or 0) those that follow it, in order."""
        return self._items("/audit", **wanted)

    def export_audit(self) -> Iterator[str]:
        """Yield the whole trail as JSON lines, for `ringfence audit verify`."""
        return self._transport.lines(f"{_API}/audit/export")

    def verify_audit(self) -> Json:
        """Have the platform verify the chain that it stores."""
        return self._get("/audit/verification")

    # Backups

    def create_backup(self, recovery_key: str) -> Iterator[bytes]:
        """Yield a backup of the whole platform, encrypted for a key that the caller made: `RecoveryKey.new().text()`.

        It is whole only if the end is reached. Verify and restore it offline: `ringfence backup verify`.
        """
        return self._transport.stream("POST", f"{_API}/backups", {"recovery_key": recovery_key})

    def public_key(self, purpose: str) -> bytes:
        """Return the public key (PEM) that verifies the trail (`audit`) or model packages (`models`)."""
        return str(self._get(f"/keys/public/{_word(purpose)}")["pem"]).encode()

    def _get(self, path: str, **query: Any) -> Json:
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._transport.call("GET", _API + path, query=wanted)

    def _items(self, path: str, **query: Any) -> list[Json]:
        return cast(list[Json], self._get(path, **query)["items"])

    def _post(self, path: str, **body: Any) -> Json:
        return self._transport.call("POST", _API + path, json=body or None)


def _outlasting_a_restart(look: Callable[[], Json]) -> Json:
    """Look again, for as long as the supervisor needs to start a server that has died."""
    deadline = time.monotonic() + _RESTART_SECONDS
    while True:
        try:
            return look()
        except UnavailableError as error:
            # What the platform itself says (a full disk, say) no waiting mends.
            if not error.code.startswith("client.") or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _word(text: str) -> str:
    return quote(text, safe="@:")


def _version(reference: str) -> str:
    name, _, version = reference.partition("@")
    if not version:
        raise InvalidError("model.reference", f"{reference} names no version.", field="model", value=reference,
                           fix=f"Write it as {reference or 'name'}@1.")
    return f"/models/{_word(name)}/{_word(version)}"
