"""The words of trust: actions, roles, actors, resources, decisions. No I/O.

An action is `noun.verb`; the policy input, the audit record, the API scope and the documentation use this word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


class Action(StrEnum):
    """Everything that can be done. One enumeration for policy, audit, API scopes and docs."""

    PLATFORM_BOOTSTRAP = "platform.bootstrap"
    PLATFORM_SHOW = "platform.show"
    PLATFORM_PROBE = "platform.probe"
    ACCOUNT_CREATE = "account.create"
    ACCOUNT_LIST = "account.list"
    ACCOUNT_SHOW = "account.show"
    ACCOUNT_DISABLE = "account.disable"
    ACCOUNT_LOGIN = "account.login"
    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    POLICY_ADD = "policy.add"
    POLICY_LIST = "policy.list"
    DATASET_DECLARE = "dataset.declare"
    DATASET_INGEST = "dataset.ingest"
    DATASET_READ_RAW = "dataset.read_raw"
    DATASET_CLASSIFY = "dataset.classify"
    DATASET_DEIDENTIFY = "dataset.deidentify"
    DATASET_RELEASE = "dataset.release"
    DATASET_LIST = "dataset.list"
    DATASET_SHOW = "dataset.show"
    DATASET_READ = "dataset.read"
    SIMULATOR_BUILD = "simulator.build"
    SIMULATOR_ADMIT = "simulator.admit"
    SIMULATOR_LIST = "simulator.list"
    SIMULATOR_SHOW = "simulator.show"
    SIMULATOR_REMOVE = "simulator.remove"
    RUN_SUBMIT = "run.submit"
    RUN_EXECUTE = "run.execute"
    RUN_EVALUATE = "run.evaluate"
    RUN_LIST = "run.list"
    RUN_SHOW = "run.show"
    MODEL_REGISTER = "model.register"
    MODEL_LIST = "model.list"
    MODEL_SHOW = "model.show"
    MODEL_DOWNLOAD = "model.download"
    MODEL_REQUEST_PROMOTION = "model.request_promotion"
    MODEL_PROMOTE = "model.promote"
    ENDPOINT_DEPLOY = "endpoint.deploy"
    ENDPOINT_LIST = "endpoint.list"
    ENDPOINT_SHOW = "endpoint.show"
    ENDPOINT_ASK = "endpoint.ask"
    JOB_SHOW = "job.show"
    AUDIT_SEARCH = "audit.search"
    AUDIT_EXPORT = "audit.export"
    AUDIT_VERIFY = "audit.verify"
    BACKUP_CREATE = "backup.create"


class Role(StrEnum):
    """What an account may be. Which actions a role allows stands in `policies/`, not here."""

    PLATFORM_ENGINEER = "platform_engineer"
    DATA_STEWARD = "data_steward"
    DATA_SCIENTIST = "data_scientist"
    MLOPS_ENGINEER = "mlops_engineer"
    SECURITY_OFFICER = "security_officer"
    AUDITOR = "auditor"
    VIEWER = "viewer"
    INGEST_WRITER = "ingest_writer"
    ENDPOINT_CALLER = "endpoint_caller"
    WORKER = "worker"


@dataclass(frozen=True)
class Actor:
    """Who acts. Only `trust/identity` makes one, from a credential it has verified.

    `scopes` narrows a credential below its roles (`endpoint.ask:icu`); empty means all that the roles allow.
    `person` names the human behind the account, so that a second account is not a second person.
    """

    id: str
    name: str
    kind: Literal["person", "service", "workload", "anonymous"]
    roles: frozenset[str]
    project: str
    person: str = ""
    scopes: frozenset[str] = frozenset()

    def as_input(self) -> dict[str, Any]:
        """Return the actor as the policy and the trail see it."""
        return {"id": self.id, "name": self.name, "kind": self.kind, "roles": sorted(self.roles),
                "project": self.project, "person": self.person, "scopes": sorted(self.scopes)}


@dataclass(frozen=True)
class Resource:
    """What is acted on: `kind` is the noun of the action."""

    kind: str
    name: str
    project: str = "default"

    def as_input(self) -> dict[str, Any]:
        """Return the resource as the policy and the trail see it."""
        return {"kind": self.kind, "name": self.name, "project": self.project}


@dataclass(frozen=True)
class PolicyInput:
    """The question put to the policy engine."""

    actor: Actor
    action: Action
    resource: Resource
    context: Mapping[str, Any] = field(default_factory=dict)

    def as_input(self) -> dict[str, Any]:
        """Return the JSON document that the rules see as `input`."""
        return {"actor": self.actor.as_input(), "action": self.action.value,
                "resource": self.resource.as_input(), "context": dict(self.context)}


@dataclass(frozen=True)
class Decision:
    """The answer: the rules that decided, and for a refusal why and what would satisfy it."""

    allowed: bool
    reasons: tuple[str, ...]
    bundle: str  # digest of the policy bundle that decided


Outcome = Literal["done", "denied", "failed", "intended", "read"]


@dataclass(frozen=True)
class AuditEvent:
    """One thing to record. `details` and `context` hold digests, counts and names, never a data subject's identifier.

    `context` is what policy was told, `bundle` the digest of the rules that decided.
    """

    actor: Actor
    action: Action
    resource: Resource
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    purpose: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    bundle: str = ""
