from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.client.contexts import Context, Contexts
from ringfence.errors import InvalidError, MissingError


def test_a_saved_context_is_current_and_for_its_owner_alone(tmp_path: Path) -> None:
    ward = Context("ward", "https://ward:8443", "/ca.pem", "t0ken", "ada")
    Contexts.load(tmp_path).with_context(Context("local", "https://127.0.0.1:8443")).with_context(ward).save()
    again = Contexts.load(tmp_path)
    assert again.get() == ward
    assert again.get("local").url == "https://127.0.0.1:8443"
    assert (tmp_path / "client").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "client" / "contexts.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "client").iterdir()] == ["contexts.json"]


def test_an_unknown_context_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught:
        Contexts.load(tmp_path).get()
    assert "ringfence up" in caught.value.fix


@pytest.mark.parametrize("content", ["", "[]", "{", '{"current": "a", "contexts": {"a": {"unknown": 1}}}', '"x"'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "contexts.json").write_text(content)
    with pytest.raises(InvalidError, match=r"contexts\.json can't be read"):
        Contexts.load(tmp_path)
