"""The file format: what was packed comes out, and no changed, missing, moved or added byte gets by."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.backup import archive
from ringfence.backup.domain import Manifest, RecoveryKey, require_member
from ringfence.errors import InvalidError, RingfenceError, TamperedError

KEY = RecoveryKey(bytes(range(100, 132)))
SIZE = 2 * archive.CHUNK + 1000


def packed(files: dict[str, bytes], key: RecoveryKey = KEY) -> bytes:
    parts = (part for name, data in files.items() for part in archive.member(name, len(data), [data]))
    return b"".join(archive.sealed(parts, key))


def unpacked(data: bytes, key: RecoveryKey = KEY) -> dict[str, bytes]:
    plain = archive.opened(io.BytesIO(data), key)
    return {name: b"".join(parts) for name, parts in archive.members(plain)}


LARGE = packed({"a": bytes(range(256)) * (SIZE // 256), "b": b"", "c": b"end"})


@settings(max_examples=60, deadline=None)
@given(files=st.dictionaries(st.text(max_size=20), st.binary(max_size=300) | st.sampled_from(
    [b"x" * (archive.CHUNK - 20), b"y" * archive.CHUNK, b"z" * (archive.CHUNK + 1)]), max_size=5))
def test_what_was_packed_comes_out(files: dict[str, bytes]) -> None:
    assert unpacked(packed(files)) == files


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(LARGE) - 1) | st.integers(0, 400) | st.integers(len(LARGE) - 40, len(LARGE) - 1),
       change=st.integers(1, 255))
def test_every_changed_byte_is_found(place: int, change: int) -> None:
    altered = bytearray(LARGE)
    altered[place] ^= change
    with pytest.raises((TamperedError, InvalidError)):
        unpacked(bytes(altered))


@settings(max_examples=150, deadline=None)
@given(size=st.integers(0, len(LARGE) - 1) | st.integers(0, 400) | st.sampled_from(
    [len(LARGE) - 1, len(LARGE) - 16, len(LARGE) - 17, *(LARGE.index(b"}") + 1 + n * (archive.CHUNK + 16)
                                                         for n in range(3))]))
def test_a_file_that_was_cut_off_anywhere_is_found(size: int) -> None:
    with pytest.raises((TamperedError, InvalidError)):
        unpacked(LARGE[:size])


@settings(max_examples=60, deadline=None)
@given(added=st.binary(min_size=1, max_size=64) | st.just(LARGE[-archive.CHUNK - 16:]))
def test_what_was_added_is_found(added: bytes) -> None:
    with pytest.raises(TamperedError):
        unpacked(LARGE + added)


def chunks() -> tuple[bytes, list[bytes]]:
    start = LARGE.index(b"}") + 1
    body = LARGE[start:]
    return LARGE[:start], [body[at:at + archive.CHUNK + 16] for at in range(0, len(body), archive.CHUNK + 16)]


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 2), (0, 2), (1, 2), (0, 1, 1, 2), (2,), ()])
def test_chunks_in_another_order_are_found(order: tuple[int, ...]) -> None:
    head, body = chunks()
    assert unpacked(head + b"".join(body))
    with pytest.raises(TamperedError):
        unpacked(head + b"".join(body[place] for place in order))


def test_a_chunk_of_another_backup_under_the_same_key_is_found() -> None:
    head, body = chunks()
    other = packed({"a": b"0" * SIZE})
    with pytest.raises(TamperedError):
        unpacked(head + body[0] + other[-len(body[2]) - archive.CHUNK - 16:-len(body[2])] + body[2])


def test_what_breaks_off_in_the_making_opens_as_nothing() -> None:
    def breaking() -> Iterator[bytes]:
        yield b"x" * (archive.CHUNK * 2)
        raise OSError("gone")

    parts = archive.sealed(breaking(), KEY)
    made = b"".join(islice(parts, 2))
    with pytest.raises(OSError, match="gone"):
        next(parts)
    with pytest.raises(TamperedError):
        unpacked(made)


def test_two_backups_of_the_same_under_the_same_key_share_no_chunk() -> None:
    assert packed({"a": b"same"})[-30:] != packed({"a": b"same"})[-30:]


def test_another_key_is_refused_by_name() -> None:
    with pytest.raises(InvalidError, match=KEY.id) as refusal:
        unpacked(LARGE, other := RecoveryKey.new())
    assert refusal.value.code == "backup.other_key"
    assert other.id in refusal.value.message


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400) | st.binary(max_size=200).map(lambda tail: LARGE[:14] + tail))
def test_what_is_no_backup_is_refused(data: bytes) -> None:
    with pytest.raises(RingfenceError):
        unpacked(data)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=400))
def test_sealed_nonsense_is_refused_as_such_or_has_members(data: bytes) -> None:
    sealed = b"".join(archive.sealed([data], KEY))
    with contextlib.suppress(TamperedError):
        unpacked(sealed)


@given(secret=st.binary(min_size=32, max_size=32))
def test_a_recovery_key_survives_being_written_down(secret: bytes) -> None:
    key = RecoveryKey(secret)
    assert RecoveryKey.parse(f" {key.text()}\n") == key
    assert key.text() not in repr(key)
    assert repr(secret) not in repr(key)


@given(place=st.integers(0, 53), letter=st.sampled_from("abcXYZ019-_="))
def test_a_slip_of_the_pen_is_not_taken_for_another_key(place: int, letter: str) -> None:
    text = KEY.text()
    slipped = text[:place] + letter + text[place + 1:]
    if slipped != text:
        with pytest.raises(InvalidError, match="no recovery key"):
            RecoveryKey.parse(slipped)


@pytest.mark.parametrize("text", ["", "rfrk1_", "ü" * 54, KEY.text()[:-4], KEY.text() + "AAAA", KEY.text().upper()])
def test_what_is_no_recovery_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        RecoveryKey.parse(text)
    assert len(text) < 10 or text not in refusal.value.line()


@pytest.mark.parametrize("name", [
    "../x", "/etc/passwd", "platform/keys/../../x", "platform/run/x", "platform/keys/.hidden", "platform/keys/a\n",
    "platform/objects/landing/../x", "client/contexts.json", "platform/objects//x", "platform/ringfence.db-wal", ""])
def test_no_member_leads_out_of_the_home(name: str) -> None:
    with pytest.raises(TamperedError):
        require_member(name)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format":"ringfence-backup/2"}', b"[" * 5000,
                                  b'{"format":"ringfence-backup/1","members":{"a":1},"created_at":"","version":""}'])
def test_a_manifest_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(TamperedError):
        Manifest.parse(data)
