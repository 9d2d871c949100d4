"""Releases whose machines are the real roles: real readiness, real heartbeats, a real lease."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fly_world import PROJECT, World, world
from test_setup import served

from betatrader.ops.embedded_redis import EmbeddedRedis

KEY, SECRET = "BETATRADER_BINANCE__KEY", "BETATRADER_BINANCE__SECRET"
GATES = ("--watch", "1.5s", "--gate-timeout", "30s")


@pytest.fixture
def account(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Four apps; the roles run for real, on the Redis that `release` is given too."""
    folder = own_home.parent
    with EmbeddedRedis(folder / "own", folder) as server, world(folder / "w", real=True) as made:
        monkeypatch.setenv("REDIS_URL", server.url)
        path = made.checkout / "fly/trading.toml"
        ttl = '\nBETATRADER_LEASE__TTL_SECONDS = "2"\n'
        path.write_text(path.read_text().replace("\n[env]\n", f"\n[env]{ttl}", 1))
        made.create_apps()
        state = made.state()
        for app in state["apps"].values():
            if "REDIS_URL" in app["secrets"]:
                app["secrets"]["REDIS_URL"]["value"] = server.url
        made.change(apps=state["apps"])
        yield made


def free_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])


def at(tag: str) -> dict[str, list[str]]:
    return {role: [tag] for role in ("jobs", "intel", "trading")}


def logs(account: World) -> str:
    return "\n".join(p.read_text()[-3000:] for p in account.fly.glob("machines/*/log"))


@pytest.mark.timeout(400)
def test_an_upgrade_moves_the_leader_a_broken_one_does_not_and_a_rollback_moves_it_back(
    account: World,
) -> None:
    account.publish("v1")
    done = account.release("deploy", "v1", *GATES)
    assert done.returncode == 0, done.stderr + logs(account)
    leaders = [account.status()["leader"]]

    account.publish("v2")
    done = account.release("deploy", "v2", *GATES)
    assert done.returncode == 0, done.stderr + logs(account)
    assert account.runs() == at("v2")
    found = account.status()
    leaders.append(found["leader"])
    assert leaders[0] != leaders[1] == found["apps"][2]["machines"][0]["id"]
    assert [app["revision"] for app in found["apps"][:3]] == [account.commit("v2")] * 3

    account.publish("v3", env={"BETATRADER_RISK__DAILY_LOSS_USD": "nonsense"})
    done = account.release("deploy", "v3", *GATES)
    assert done.returncode == 1
    assert account.runs() == at("v2")
    found = account.status()
    assert found["leader"] == leaders[1], "the trader was never touched"
    assert found["releases"][0]["result"] == "rolled back"

    done = account.release("rollback", *GATES)
    assert done.returncode == 0, done.stderr + logs(account)
    assert account.runs() == at("v1")
    assert account.status()["leader"] not in leaders
    values = [
        s["value"] for app in account.state()["apps"].values() for s in app["secrets"].values()
    ]
    shown = [done.stdout, done.stderr, (account.fly / "commands.jsonl").read_text(), logs(account)]
    plain = [value for value in values if not value.startswith("unix://")]
    assert not [value for value in plain for text in shown if value in text]
    assert os.environ["REDIS_URL"].startswith("unix://")


def shells() -> list[str]:
    """The guide's commands, as two shells are given them: all up to an upgrade, and what follows,
    where the way to Redis is opened anew."""
    guide = (PROJECT / "docs/deploy.md").read_text()
    first, _, second = guide.partition("\n## An upgrade\n")
    blocks = [re.findall(r"^```sh\n(.*?)^```$", t, re.M | re.S) for t in (first, second)]
    assert [len(found) for found in blocks] == [8, 4]
    (way,) = [block for block in blocks[0] if "fly proxy" in block]
    return ["".join(blocks[0]), "".join([way, *blocks[1]])]


def follow(account: World, script: str, **more: str) -> str:
    """What a shell says that is given these lines; each of them must end well."""
    script = script.replace("16379", str(free_port()))
    done = subprocess.run(
        ["bash", "-c", f"set -eu; trap 'jobs -p | xargs -r kill' EXIT\n{script}"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=account.checkout,
        env=account.environment(**more),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:] + logs(account)
    return done.stdout


@pytest.mark.timeout(700)
def test_every_command_of_the_guide_leads_from_nothing_to_an_upgrade_and_a_rollback(
    own_home: Path,
) -> None:
    first, second = shells()
    with world(own_home.parent / "w", real=True) as account:
        account.change(user="")
        account.publish("guide")
        follow(account, first, BETATRADER_RELEASE_WATCH="1.5s")
        assert account.runs() == at("v0.1.0")
        said = follow(account, second, BETATRADER_RELEASE_WATCH="1.5s")
        assert account.runs() == at("v0.2.0")
        redis = account.state()["apps"]["betatrader-redis"]["machines"]
        assert [m["image_ref"]["tag"] for m in redis] == ["v0.2.0"]
        kept = (own_home / "releases.jsonl").read_text().splitlines()
        ended = [json.loads(line) for line in kept]
        assert [(r["kind"], r["result"]) for r in ended if r["result"] != "running"] == [
            ("deploy", "done"),
            ("deploy", "done"),
            ("rollback", "done"),
            ("rollback", "done"),
        ]
        assert "leader: " in said

        # and where nothing works: without Redis, on the trader's own machine
        page = (PROJECT / "docs/stolen-key.md").read_text()
        (directly,) = re.findall(r"`(fly ssh console [^`]*)`", page)
        assert '"acknowledged_ms"' in follow(account, directly.replace('direct"', 'direct --json"'))
        # and towards real money, where the settings are: there as well
        page = (PROJECT / "docs/deploy.md").read_text()
        there = re.findall(r"`(fly ssh console [^`]*betatrader (?!halt)[^`]*)`", page)
        assert [re.sub(r'.*-C "betatrader (\w+(?: \w+)?).*', r"\1", one) for one in there] == [
            *("doctor", "setup binance", "live status", "live allow")
        ]
        for command in there:  # each with options that it has
            assert "Usage: " in follow(account, re.sub(r'"$', ' --help"', command))
        assert "the configuration is on: no step" in follow(account, there[2])
        (address,) = re.findall(r"`(fly ips allocate-egress [^`]*)`", page)
        follow(account, address)

        follow(account, "fly scale count 0 -a betatrader-trading --yes")
        assert account.runs() == {**at("v0.2.0"), "trading": []}


def test_a_tag_that_is_there_already_is_named_before_anything_is_pushed(own_home: Path) -> None:
    page = (PROJECT / "docs/deploy.md").read_text()
    blocks = [b for b in re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S) if "--push" in b]
    assert len(blocks) == 2
    with world(own_home.parent / "w") as account:
        account.create_apps()
        account.publish("guide")
        for block, tag in zip(blocks, ("v0.1.0", "v0.2.0"), strict=True):
            account.git("tag", tag)
            assert follow(account, f"{block.rstrip()} || true") == f"{tag}\n"
        assert account.commands("deploy") == []


def test_the_git_lines_of_an_upgrade_keep_ones_own_fly_files_and_tags(own_home: Path) -> None:
    page = (PROJECT / "docs/deploy.md").read_text()
    (lines,) = re.findall(r"((?:^    git .*\n)+)", page, re.M)
    with world(own_home.parent / "w") as account:
        account.publish("v0.1.0")
        upstream = own_home.parent / "upstream"
        account.git("clone", "-q", ".", str(upstream))
        account.git("remote", "add", "origin", str(upstream))
        own, theirs = (folder / "fly/trading.toml" for folder in (account.checkout, upstream))
        own.write_text(own.read_text().replace('"arn"', '"nrt"'))
        account.git("commit", "-aqm", "where")
        theirs.write_text(theirs.read_text() + "\n# of the new version\n")
        there = [
            "git",
            "-C",
            str(upstream),
            "-c",
            "user.name=bob",
            "-c",
            "user.email=b@example.com",
        ]
        for words in (["commit", "-aqm", "new"], ["tag", "-a", "-m", "new", "v0.2.0"]):
            subprocess.run([*there, *words], check=True)
        follow(account, lines)
        assert 'primary_region = "nrt"' in own.read_text()
        assert own.read_text().endswith("# of the new version\n")
        assert follow(account, "git status --porcelain; git tag -l") == "v0.1.0\n"


def test_a_venues_key_is_proven_staged_and_switched_to_and_a_bad_one_is_not(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_home.parent
    with (
        EmbeddedRedis(folder / "own", folder) as server,
        served("binance", folder) as (_, more),
        world(folder / "w") as account,
    ):
        monkeypatch.setenv("REDIS_URL", server.url)
        key = {name: more[name] for name in (KEY, SECRET)}
        addresses = {n: v for n, v in more.items() if n.startswith("BETATRADER_BINANCE__")}
        settings = [f"{n} = {json.dumps(v)}" for n, v in addresses.items() if n not in key]
        path = account.checkout / "fly/trading.toml"
        path.write_text(path.read_text().replace("[env]\n", "[env]\n" + "\n".join(settings) + "\n"))
        account.create_apps()
        account.publish("v1")
        lines = f"{KEY}={more[KEY]}\n{SECRET}=the-old-secret-of-before\n"
        lacking = account.release("deploy", "v1", *GATES)
        assert lacking.returncode == 3
        assert f"trading: {SECRET} is missing" in lacking.stderr
        assert account.release("secrets", "set", "trading", given=lines).returncode == 0
        done = account.release("deploy", "v1", *GATES)
        assert done.returncode == 0, done.stderr
        before = account.state()["apps"]["betatrader-trading"]

        wrong = f"{KEY}={more[KEY]}\n{SECRET}=not-the-secret-at-all\n"
        refused = account.release("secrets", "rotate", "binance", *GATES, given=wrong)
        assert refused.returncode == 6, refused.stderr
        assert "the new key of binance is not proven: api key" in refused.stderr
        assert account.state()["apps"]["betatrader-trading"] == before

        new = f"{KEY}={more[KEY]}\n{SECRET}={more[SECRET]}\n"
        dry = account.release("secrets", "rotate", "binance", "--dry-run", given=new)
        assert dry.returncode == 0, dry.stderr
        given = [x.split("  #") for x in dry.stdout.splitlines() if x.startswith("  fly ")]
        assert given[0][0] == "  fly secrets import --stage -a betatrader-trading"
        assert given[0][1].endswith(f": {KEY}, {SECRET}")
        assert " -a betatrader-trading --image registry.fly.io/" in given[1][0]
        assert len(given) == 2
        assert more[SECRET] not in dry.stdout + dry.stderr
        assert account.state()["apps"]["betatrader-trading"] == before

        done = account.release("secrets", "rotate", "binance", "--order", *GATES, given=new)
        assert done.returncode == 0, done.stderr
        assert "The old key of binance may be revoked there now" in done.stdout
        after = account.state()["apps"]["betatrader-trading"]
        assert after["secrets"][SECRET]["value"] == more[SECRET]
        assert after["machines"][0]["_secrets"][SECRET] == more[SECRET]
        assert after["machines"][0]["id"] != before["machines"][0]["id"]
        assert account.status()["releases"][0]["kind"] == "rotate"
        shown = [done.stdout, done.stderr, refused.stderr]
        shown += [(account.fly / "commands.jsonl").read_text()]
        shown += [(own_home / "releases.jsonl").read_text()]
        for value in ("not-the-secret-at-all", "the-old-secret-of-before", more[SECRET]):
            assert not [text for text in shown if value in text]
