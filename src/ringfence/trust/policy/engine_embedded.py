"""The embedded engine: Rego in this process, by regorus (docs/adr/0002-embedded-rego-engine.md)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import regorus

from ringfence.trust.domain import Decision, PolicyInput
from ringfence.trust.policy.bundle import Bundle, digest, load
from ringfence.trust.policy.engine import RULE, decision_from, unavailable
from ringfence.trust.policy.module import ProjectPolicy


def no_project_policies() -> tuple[ProjectPolicy, ...]:
    """Return nothing: a platform without rules of its projects' own."""
    return ()


class EmbeddedEngine:
    """Decides by the bundle in `folder` and the project policies that `extra` returns at each decision.

    A regorus engine serves one thread only, so that each thread keeps its own; one that is out of date is built anew.
    """

    def __init__(self, folder: Path, extra: Callable[[], tuple[ProjectPolicy, ...]] = no_project_policies) -> None:
        self._bundle, self._extra = load(folder), extra
        self._local = threading.local()
        self._built: tuple[tuple[ProjectPolicy, ...], str] = ((), _digest(self._bundle, ()))
        self._engine_for((), self._built[1])

    def decide(self, question: PolicyInput) -> Decision:
        """Return the decision.

        Raises:
            UnavailableError: the rules or the engine failed: then nothing is allowed.
        """
        policies = self._extra()
        bundle = self._digest_of(policies)
        try:
            engine = self._engine_for(policies, bundle)
            engine.set_input_json(json.dumps(question.as_input(), allow_nan=False))
            result = json.loads(engine.eval_rule_as_json(RULE))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in the engine is no Exception
            self._local.engine = None
            raise unavailable(first_line(error)) from error
        return decision_from(result, bundle)

    def _digest_of(self, policies: tuple[ProjectPolicy, ...]) -> str:
        known, bundle = self._built
        if known != policies:
            bundle = _digest(self._bundle, policies)
            self._built = (policies, bundle)
        return bundle

    def _engine_for(self, policies: tuple[ProjectPolicy, ...], bundle: str) -> Any:
        if getattr(self._local, "engine", None) is None or self._local.bundle != bundle:
            self._local.engine, self._local.bundle = build(self._bundle, policies), bundle
        return self._local.engine


def build(bundle: Bundle, policies: tuple[ProjectPolicy, ...] = (), more: Mapping[str, str] | None = None) -> Any:
    """Return a regorus engine, for this thread, with the bundle, the policies and `more` modules.

    Raises:
        UnavailableError: a module can't be read.
    """
    engine = regorus.Engine()
    try:
        own = {f"project/{policy.project}/{policy.name}.rego": policy.rego for policy in policies}
        for name, text in {**bundle.modules, **own, **(more or {})}.items():
            engine.add_policy(name, text)
        engine.add_data_json(json.dumps(bundle.data))
        engine.add_data_json(json.dumps({"policy_projects": {policy.package: policy.project for policy in policies}}))
    except RuntimeError as error:
        raise unavailable(first_line(error)) from error
    return engine


def first_line(error: BaseException) -> str:
    """Return the engine's own message, without its drawing of the source and its backtrace."""
    text = str(error).partition("Stack backtrace")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    place = next((line.removeprefix("--> ") for line in lines if line.startswith("-->")), "")
    message = next((line for line in lines if line.startswith("error:")), lines[0] if lines else type(error).__name__)
    return f"{message.removeprefix('error:').strip()}{f' ({place})' if place else ''}"


def _digest(bundle: Bundle, policies: tuple[ProjectPolicy, ...]) -> str:
    if not policies:
        return bundle.digest
    own = {f"{policy.project}/{policy.name}/{policy.package}": policy.rego for policy in policies}
    return digest({"shipped": bundle.digest, **own})
