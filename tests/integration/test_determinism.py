"""The same events give the same Steps, byte for byte, in processes with different hash seeds."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import hashlib, sys
sys.path.insert(0, {tests!r})
sys.path.insert(0, {unit!r})
from betatrader.model.event import encode
from test_engine import story
found = hashlib.sha256()
for event, step in story(21, 300):
    found.update(encode(event) + encode(step))
print(found.hexdigest())
"""


def test_two_hash_seeds_one_history() -> None:
    tests = Path(__file__).resolve().parent.parent
    code = CODE.format(tests=str(tests), unit=str(tests / "unit"))
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "4242")
    }
    assert len(digests) == 1
