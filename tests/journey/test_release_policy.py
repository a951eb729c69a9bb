"""A hospital's own release policy: the shipped one is applied to what was measured, and another one as well."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_platform import EXAMPLE, OFFICER, SCIENTIST, STEWARD, VIEWER, Platform, declaration

SHIPPED = EXAMPLE / "release.rego"
# Few stays are alike enough by the decade of birth alone.
PASSES = (("[birth_year, region]", "[birth_year]"), ("region: keep", "region: drop"),
          ("max_suppressed_share: 0.5", "max_suppressed_share: 0.2"))


@pytest.fixture(scope="module")
def judged(platform: Platform, stays_file: Path) -> Platform:
    """The platform with the shipped policy, and a landed file under a name that it judges."""
    platform.done(OFFICER, "policy", "add", "icu-stays-release", str(SHIPPED))
    platform.declare(declaration("icu-stays", *PASSES))
    platform.land("icu-stays", stays_file)
    return platform


def release(platform: Platform, name: str) -> str:
    """Release what must be refused; return the line, having looked whether anything was kept."""
    versions, objects = platform.dataset(name)["versions"], platform.objects("processing")
    examples = platform.objects("landing", "example")
    line = platform.refused(STEWARD, "data", "release", name)
    view = platform.dataset(name)
    assert platform.objects("processing") == objects
    assert platform.objects("landing", "example") == examples
    assert (view["state"], view["versions"]) == ("refused", versions)
    assert view["refusal"] in line
    refusals = platform.trail(action="dataset.release", resource=name, outcome="denied")
    assert any(" ".join(refusal["reasons"]) in line for refusal in refusals)
    assert line.startswith(f"worker (for {STEWARD}) may not dataset.release {name}: ")
    return line


@pytest.mark.parametrize(("changes", "said"), [
    ([*PASSES, ("purpose: sepsis-treatment", "purpose: billing")],
     "The ethics board approved these stays for sepsis-treatment and for nothing else."),
    ([*PASSES, ("next_state: {action: keep", "next_state: {action: keep, as: following")],
     "The column following is not among those that the ethics board approved."),
    ([("max_suppressed_share: 0.5", "max_suppressed_share: 0.6")],
     "More than a fifth would be left out: the data would no longer speak for everyone."),
])
def test_the_shipped_policy_refuses_what_it_says_and_nothing_is_kept(
        judged: Platform, changes: list[tuple[str, str]], said: str) -> None:
    judged.declare(declaration("icu-stays", *changes))
    assert said in release(judged, "icu-stays")


def test_it_judges_the_measured_result_not_the_request_and_only_its_own_dataset(
        judged: Platform, stays_file: Path) -> None:
    judged.declare(declaration("other-stays", ("purpose: sepsis-treatment", "purpose: billing")))
    judged.land("other-stays", stays_file)
    judged.done(STEWARD, "data", "release", "other-stays")
    assert judged.dataset("other-stays")["versions"][-1]["purpose"] == "billing"
    refused = judged.trail(action="dataset.release", resource="icu-stays", outcome="denied")
    assert refused
    assert {record["context"]["phase"] for record in refused} == {"measured"}
    assert {record["actor"]["name"] for record in refused} == {"worker"}
    assert {record["context"]["on_behalf_of"]["name"] for record in refused} == {STEWARD}


def test_what_it_approves_is_released(judged: Platform) -> None:
    judged.declare(declaration("icu-stays", *PASSES, ("reward: {action: keep, type: number}", "reward: keep")))
    judged.done(STEWARD, "data", "release", "icu-stays")
    version = judged.dataset("icu-stays")["versions"][-1]
    assert version["k"] >= 5
    assert version["suppressed_share"] <= 0.2


def test_a_stricter_policy_counts_at_once_and_refuses_with_its_own_words(
        judged: Platform, tmp_path: Path) -> None:
    rego = tmp_path / "strict.rego"
    rego.write_text(SHIPPED.read_text().replace("ringfence.project.icu_stays", "ringfence.project.strict")
                    .replace("input.context.k >= 5", "input.context.k >= 500")
                    .replace("At least 5 people", "At least 500 people"))
    judged.declare(declaration("icu-stays", *PASSES, ("k: 5", "k: 6")))
    judged.done(OFFICER, "policy", "add", "strict", str(rego))
    assert "At least 500 people must share every combination of birth year and region." in release(judged, "icu-stays")


@pytest.mark.parametrize("who", [STEWARD, SCIENTIST, VIEWER])
def test_only_a_security_officer_adds_one(platform: Platform, who: str) -> None:
    assert f"{who} may not policy.add mine" in platform.refused(who, "policy", "add", "mine", str(SHIPPED))


@pytest.mark.parametrize(("rego", "said"), [
    ("package ringfence\nimport rego.v1\nallow := true\n", "The policy is refused."),
    ("package ringfence.project.p\nimport rego.v1\nallow := true\n", "The policy is refused."),
    ("package ringfence.project.p\nimport rego.v1\ndeny contains msg if {\n", "The policy is refused. It"),
    ("", "The policy is refused."),
])
def test_a_policy_that_could_allow_or_can_not_be_read_is_refused(
        platform: Platform, tmp_path: Path, rego: str, said: str) -> None:
    file = tmp_path / "p.rego"
    file.write_text(rego)
    assert platform.refused(OFFICER, "policy", "add", "p", str(file)).startswith(said)
    with platform.client(OFFICER) as officer:
        assert "p" not in {policy["name"] for policy in officer.policies()}
