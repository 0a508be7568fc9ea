"""Keys and what is wrapped for them: opened by the right key for the right purpose, unchanged, and else by nobody."""

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.sealing import (
    Kind,
    SealingError,
    generate,
    parse_public,
    parse_secret,
    read_secrets,
    unwrap,
    wrap,
    write_secret,
)
from cloister.sealing.keys import wrapped_size

KEYS = {kind: generate(kind) for kind in Kind}
INFO = b"the journal's first secret"


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("secret", [b"", b"x", bytes(32), bytes(1000)], ids=len)
def test_what_is_wrapped_is_unwrapped(kind: Kind, secret: bytes) -> None:
    wrapped = wrap(secret, KEYS[kind].public, INFO)
    assert len(wrapped) == wrapped_size(kind, len(secret))
    assert unwrap(wrapped, KEYS[kind], INFO) == secret
    assert wrap(secret, KEYS[kind].public, INFO) != wrapped, "each time anew"


@pytest.mark.parametrize("kind", Kind)
def test_another_key_and_another_purpose_open_nothing(kind: Kind) -> None:
    wrapped = wrap(b"secret", KEYS[kind].public, INFO)
    for key in (generate(kind), *(other for name, other in KEYS.items() if name is not kind)):
        with pytest.raises(SealingError):
            unwrap(wrapped, key, INFO)
    with pytest.raises(SealingError):
        unwrap(wrapped, KEYS[kind], INFO + b"2")


@pytest.mark.parametrize("kind", Kind)
def test_every_change_is_found(kind: Kind) -> None:
    wrapped = wrap(b"secret", KEYS[kind].public, INFO)
    for place in range(len(wrapped)):
        changed = wrapped[:place] + bytes([wrapped[place] ^ 1]) + wrapped[place + 1 :]
        with pytest.raises(SealingError):
            unwrap(changed, KEYS[kind], INFO)
    for size in (0, 1, len(wrapped) // 2, len(wrapped) - 1):
        with pytest.raises(SealingError):
            unwrap(wrapped[:size], KEYS[kind], INFO)
    with pytest.raises(SealingError):
        unwrap(wrapped + b"\0", KEYS[kind], INFO)


@pytest.mark.parametrize("kind", Kind)
def test_keys_as_text(kind: Kind) -> None:
    key = KEYS[kind]
    public = parse_public(f" {key.public}\n")
    assert str(public) == str(key.public)
    assert public.key_id == key.public.key_id
    assert unwrap(wrap(b"secret", public, INFO), parse_secret(key.text), INFO) == b"secret"


@pytest.mark.parametrize("kind", Kind)
def test_text_that_is_no_public_key(kind: Kind) -> None:
    good = str(KEYS[kind].public)
    head, _, body = good.rpartition(":")
    wrong = [
        "",
        "x",
        head,
        head + ":",
        good[:-1],
        good + "A",
        good + "=",
        f"{head}: {body}",
        f"{head}:{'!' * len(body)}",
    ]
    for text in [*wrong, KEYS[kind].text, good.replace("cloister-pub", "cloister-bup"), f"cloister-pub-none:{body}"]:
        with pytest.raises(SealingError):
            parse_public(text)


def test_a_point_that_would_give_everybody_the_same_secret() -> None:
    """RFC 7748, section 6.1: the all-zero output must be refused."""
    with pytest.raises(SealingError):
        parse_public("cloister-pub-x25519:" + "A" * 43)


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_an_error(text: str) -> None:
    for parse in (parse_public, parse_secret):
        with pytest.raises(SealingError):
            parse(text)


def test_a_key_file_is_for_its_owner_and_is_never_overwritten(tmp_path: Path) -> None:
    path, key = tmp_path / "key", KEYS[Kind.X25519]
    write_secret(path, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.text for found in read_secrets(path)] == [key.text]
    before = path.read_text()
    with pytest.raises(SealingError):
        write_secret(path, KEYS[Kind.MLKEM768X25519])
    assert path.read_text() == before


@pytest.mark.parametrize("content", [b"", b"# nothing but a comment\n", b"\xff\xfe", b"cloister-key-x25519:short\n"])
def test_a_file_without_a_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SealingError, match=str(path)):
        read_secrets(path)


def test_a_full_disk_leaves_nothing_that_stands_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, key = tmp_path / "new.key", KEYS[Kind.MLKEM768X25519]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SealingError, match="no space left"):
            write_secret(path, key)
    assert not path.exists()
    write_secret(path, key)
    assert [one.text for one in read_secrets(path)] == [key.text]
