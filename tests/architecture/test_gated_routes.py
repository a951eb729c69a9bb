"""Every route, called on the whole platform by somebody who may do nothing of the kind: the gate refuses, by the name
that the route bears, before anything is said of what exists; and the trail has the refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from ringfence.api.access import ACTION, authenticated
from ringfence.api.routes.inference import Tensor
from ringfence.api.server import create_app
from ringfence.app import Platform, build
from ringfence.settings import Settings
from ringfence.trust.audit.tables import AuditRow
from ringfence.trust.domain import Action, Actor
from tests.architecture.test_routes import EVERY, OPEN, WITHOUT_ACTION

TENSOR = Tensor(name="observation", shape=[1], datatype="INT64", data=[1]).model_dump()
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/accounts": {"name": "x", "roles": ["viewer"]}, "POST /api/v1/keys": {"account": "x"},
    "POST /api/v1/policies": {"name": "x", "rego": "x"}, "POST /api/v1/datasets": {"declaration": "x"},
    "POST /api/v1/models/{name}/{version}/promotions": {"stage": "production", "reason": "it is better"},
    "POST /api/v1/promotions/{identifier}/approval": {"reason": "it is better"},
    "POST /v2/models/{name}/infer": {"inputs": [TENSOR]},
    "POST /api/v1/backups": {"recovery_key": "x"},
}
# They look first at what the caller names: a specification that can't be read is nobody's, a job's id can't be guessed.
LOOKING_FIRST = {"POST /api/v1/runs", "GET /api/v1/jobs/{identifier}"}
# What they need to see first is refused first.
SEEN_FIRST = {"POST /api/v1/models/{name}/{version}/promotions": Action.MODEL_SHOW,
              "POST /api/v1/promotions/{identifier}/approval": Action.MODEL_SHOW,
              "POST /api/v1/endpoints": Action.MODEL_SHOW}
BODIES["POST /api/v1/endpoints"] = {"name": "x", "model": "x@1"}
GATED = sorted(set(EVERY) - OPEN - WITHOUT_ACTION - LOOKING_FIRST)


def labelled(name: str) -> Action:
    return Action((EVERY[name].openapi_extra or {})[ACTION])


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = build(Settings(home=tmp_path_factory.mktemp("gated") / "home"))
    made.prepare()
    yield made
    made.close()


@pytest.fixture(scope="module")
def stranger(platform: Platform) -> Actor:
    """An account with the one role that permits nothing but to look at itself and to ask endpoints."""
    token = Path(platform.settings.home, "platform", "bootstrap-token").read_text().strip()
    administrator = platform.identity.bootstrap(token, "ada.admin", "correct horse battery 9")
    made = platform.identity.create_account(administrator, name="caller", kind="service", roles=["ingest_writer"])
    return platform.identity.actor_by_id(made.id)


@pytest.mark.parametrize("name", [name for name in GATED if labelled(name) != Action.DATASET_INGEST])
def test_the_gate_refuses_by_the_name_on_the_route(platform: Platform, stranger: Actor, name: str) -> None:
    app = create_app(platform)
    app.dependency_overrides[authenticated] = lambda: stranger
    method, path = re.sub(r"\{version\}", "1", name).split(" ")
    with TestClient(app, base_url="https://ringfence") as client:
        answer = client.request(method, re.sub(r"\{\w+\}", "none", path), json=BODIES.get(name))
    problem = answer.json()
    wanted = SEEN_FIRST.get(name, labelled(name)).value
    assert (answer.status_code, problem["code"], problem["field"]) == (403, "policy.denied", wanted), problem
    with platform.database.reading() as session:
        last = session.scalars(select(AuditRow).order_by(AuditRow.seq.desc()).limit(1)).one()
    assert (last.action, last.outcome, last.actor_name) == (wanted, "denied", "caller")
