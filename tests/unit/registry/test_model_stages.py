"""References, stages, and what better means."""

from __future__ import annotations

import pytest

from ringfence.errors import InvalidError
from ringfence.registry.domain import PROMOTIONS, ModelRef, Stage, is_better, require_promotable


@pytest.mark.parametrize(("text", "name", "version"), [("icu", "icu", None), ("icu-2.b@12", "icu-2.b", 12)])
def test_references(text: str, name: str, version: int | None) -> None:
    assert ModelRef.parse(text) == ModelRef(name, version)


@pytest.mark.parametrize("text", ["", "@1", "icu@", "icu@0", "icu@x", "../icu", "ICU", "icu@1@2", "icu@-1", "a" * 64])
def test_what_names_no_model(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        ModelRef.parse(text)
    assert caught.value.code == "model.reference"


def test_stages_move_only_forwards() -> None:
    assert require_promotable("registered", "production") == Stage.PRODUCTION
    for current, target in (("production", "production"), ("production", "registered"), ("registered", "registered"),
                            ("registered", "nowhere")):
        with pytest.raises(InvalidError):
            require_promotable(current, target)
    assert set(PROMOTIONS) == set(Stage)


@pytest.mark.parametrize(("low", "high", "better"), [(0.81, 0.80, True), (0.80, 0.80, False), (0.79, 0.80, False)])
def test_better_means_the_whole_interval(low: float, high: float, better: bool) -> None:
    agents = {"agent": {"ci_low": low}, "clinicians": {"ci_high": high}}
    assert is_better({"evaluation": agents}) is better


def test_without_a_reference_nothing_is_better() -> None:
    assert not is_better({"evaluation": {"agent": {"ci_low": 1.0}}})
    assert not is_better({})
