"""The journal of a real trader: verified, shown and replayed; and a disk that fills up."""

import json
import resource
import subprocess
from pathlib import Path

from running import PROGRAM, environment, lines, run, up

from betatrader.ops.embedded_redis import EmbeddedRedis


def test_a_live_journal_replays_byte_for_byte_and_tampering_shows(own_home: Path) -> None:
    with up("up", "--for", "6s") as running:
        status, report, errors = running.end(number=None)
    assert status == 0, errors
    verified = json.loads(run("journal", "verify", "--json").stdout)
    assert (verified["run"], verified["torn_bytes"]) == (report["run"], 0)
    replayed = json.loads(run("replay", "--json").stdout)
    assert replayed["same"]
    assert replayed["events"] == report["events"]
    shown = run("journal", "show", "--limit", "3", "--json").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in shown] == ["Started", "Step", "CashFlow"]

    order = json.loads(run("orders", "--json").stdout)[0]
    life = json.loads(run("explain", order["id"], "--json").stdout)
    told = " ".join(line["text"] for line in life["lines"])
    assert life["order"] == order["id"]
    assert "the event: " in told
    assert f"{order['strategy']} proposed {order['side']} {order['quantity']}" in told
    assert "OrderAccepted" in told
    assert order["id"] in run("explain", order["id"][-12:]).stdout
    assert run("explain", "zz").returncode == 2

    [path] = (own_home / "journal" / report["run"]).glob("*.btj")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    for command in (["journal", "verify"], ["replay"]):
        refused = run(*command)
        assert refused.returncode == 2
        assert len(lines(refused.stderr)) == 2
        assert "altered or damaged" in refused.stderr

    path.write_bytes(bytes(data)[: len(data) // 3])
    cut = run("journal", "verify")
    assert (cut.returncode, "was closed after record" in cut.stderr) == (2, True)
    (path.parent / "closed.json").unlink()
    torn = run("journal", "verify")
    assert torn.returncode == 0
    assert "a crash, and no damage" in torn.stdout
    assert json.loads(run("journal", "verify", "--repair", "--json").stdout)["torn_bytes"] == 0


def test_a_disk_that_fills_up_ends_the_trader_with_one_clear_line(own_home: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        done = subprocess.run(
            [*PROGRAM, "--role", "trading"],
            env=environment(REDIS_URL=server.url, BETATRADER_HEALTH__PORT="0"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            preexec_fn=small_files,
        )
    assert done.returncode == 1
    said = lines(done.stderr)
    assert len(said) == 2, done.stderr[-2000:]
    assert "cannot be written: File too large" in said[0]
    [folder] = (own_home / "journal").iterdir()
    verified = run("journal", "verify", str(folder), "--json")
    assert json.loads(verified.stdout)["records"] > 100
