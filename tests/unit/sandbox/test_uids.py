from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ringfence.errors import UnavailableError
from ringfence.sandbox import uids
from ringfence.sandbox.uids import UidPool


def test_ids_are_distinct_until_they_are_given_back(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        leases = list(pool.map(lambda _: UidPool(tmp_path, 400_000, 8).take(), range(8)))
    assert sorted(lease.uid for lease in leases) == list(range(400_000, 400_008))
    with pytest.raises(UnavailableError) as caught:
        UidPool(tmp_path, 400_000, 8).take()
    assert caught.value.code == "sandbox.uids_exhausted"
    leases[3].release()
    leases[3].release()
    assert UidPool(tmp_path, 400_000, 8).take().uid == leases[3].uid


def test_an_id_that_a_live_process_has_is_not_taken(tmp_path: Path) -> None:
    live = os.getuid()
    assert live in uids._live_uids()
    assert UidPool(tmp_path, live, 2).take().uid == live + 1
