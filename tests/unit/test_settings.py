from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ringfence.errors import InvalidError
from ringfence.settings import Settings, load


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("RINGFENCE_")]:
        monkeypatch.delenv(name)


def test_what_nobody_set_is_safe() -> None:
    settings = load()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8443)
    assert settings.server.url == "https://127.0.0.1:8443"
    assert settings.home == Path.home() / ".ringfence"
    assert (settings.policies / "ringfence").is_dir()


def test_the_environment_sets_every_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_HOME", "/srv/ringfence")
    monkeypatch.setenv("RINGFENCE_SERVER__PORT", "9443")
    monkeypatch.setenv("RINGFENCE_SERVER__HOST", "::")
    monkeypatch.setenv("RINGFENCE_LIMITS__UPLOAD_BYTES", "2048")
    settings = load()
    assert settings.server.url == "https://[::1]:9443"
    assert settings.limits.upload_bytes == 2048
    assert settings.resolved_database_url == "sqlite:////srv/ringfence/platform/ringfence.db"


@pytest.mark.parametrize(("name", "value"), [
    ("RINGFENCE_SERVER__PORT", "70000"), ("RINGFENCE_SERVER__PORT", "https"), ("RINGFENCE_LIMITS__IDLE_SECONDS", "0"),
    ("RINGFENCE_SERVER__PROT", "9443")])
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidError) as caught:
        load()
    assert caught.value.field == name
    assert name in caught.value.message


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        load().server.port = 1  # type: ignore[misc]


def fields(model: type) -> list[tuple[str, FieldInfo]]:
    return list(model.model_fields.items())  # type: ignore[attr-defined]


def test_every_field_has_a_default_and_a_help_line() -> None:
    for name, field in fields(Settings):
        assert not field.is_required(), name
        if hasattr(field.annotation, "model_fields"):
            for inner, section_field in fields(field.annotation):  # type: ignore[arg-type]
                assert not section_field.is_required(), inner
                assert section_field.description, inner
        else:
            assert field.description, name
