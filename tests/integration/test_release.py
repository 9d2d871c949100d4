"""Releases against the stand-in for fly, which plays the machines; a real Redis keeps them."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
from fly_world import PROJECT, SECRETS, World
from running import until

from betatrader.model.secret import Secret
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import acl, keys

FAST = ("--watch", "0.2s", "--gate-timeout", "3s")
NO_CODE = "nobody knows which rights in Redis v2 needs: git has no code of it"


class Base(NamedTuple):
    """An account after its first release, to be copied for each test."""

    folder: Path
    kept: list[tuple[bytes, bytes]]
    """What Redis holds then."""


class Server(NamedTuple):
    """The Redis of all tests here."""

    url: str
    pid: int


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as run:
        folder = Path(run)
        with EmbeddedRedis(folder / "own", folder) as started:
            yield Server(started.url, started.pid)


@pytest.fixture(scope="module")
def base(server: Server) -> Iterator[Base]:
    """Four apps, and version v1 deployed; v2 is published."""
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as run:
        folder = Path(run) / "world"
        made = World(folder)
        os.environ["REDIS_URL"] = server.url
        made.create_apps()
        made.publish("v1")
        first = made.release("deploy", "v1", *FAST, BETATRADER_HOME=f"{run}/home")
        assert first.returncode == 0, first.stderr
        made.publish("v2")
        with redis.Redis.from_url(server.url) as client:
            kept = [(key, client.dump(key)) for key in client.scan_iter()]
        yield Base(folder, kept)


@pytest.fixture
def account(own_home: Path, monkeypatch: pytest.MonkeyPatch, server: Server, base: Base) -> World:
    monkeypatch.setenv("REDIS_URL", server.url)
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        for key, value in base.kept:
            client.restore(key, 0, value)
    folder = own_home.parent / "world"
    shutil.copytree(base.folder, folder)
    return World(folder, made=True)


def at(tag: str) -> dict[str, list[str]]:
    return {role: [tag] for role in ("jobs", "intel", "trading")}


def test_a_release_moves_three_apps_to_one_image_in_their_order(account: World) -> None:
    done = account.release("deploy", "v2", *FAST, "--json")
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v2")
    assert account.configured() == dict.fromkeys(("jobs", "intel", "trading"), "v2")
    deploys = [c[c.index("-a") + 1] for c in account.commands("deploy", "-c")]
    assert deploys[-3:] == ["betatrader-jobs", "betatrader-intel", "betatrader-trading"]
    images = {c[c.index("--image") + 1] for c in account.commands("deploy", "-c")[-3:]}
    assert images == {"registry.fly.io/betatrader-trading:v2"}
    record = json.loads(done.stdout)
    assert (record["kind"], record["result"], record["digest"]) == ("deploy", "done", "sha256:v2")
    assert "@" in record["by"]
    assert record["before"] == dict.fromkeys(
        ("jobs", "intel", "trading"), "registry.fly.io/betatrader-trading:v1"
    )
    local = Path(os.environ["BETATRADER_HOME"]) / "releases.jsonl"
    assert json.loads(local.read_text().splitlines()[-1])["id"] == record["id"]
    found = account.status()
    assert [one["result"] for one in found["releases"]] == ["done", "done"]
    assert found["under_way"] == ""
    assert found["leader"] == found["apps"][2]["machines"][0]["id"]


def with_functions(account: World, tag: str, text: str) -> None:
    """A version whose server-side functions are these."""
    path = account.checkout / "betatrader/store/functions.lua"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    account.publish(tag)


def test_the_functions_of_the_version_stand_beside_those_of_what_runs(account: World) -> None:
    body = "redis.register_function('bt_new_VERSION', function() return 1 end)\n"
    with_functions(account, "v3", f"#!lua name=betatrader_VERSION\n{body}")
    with_functions(account, "v4", "#!lua name=betatrader_VERSION\nno Lua\n")
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.function_flush()
        assert account.release("deploy", "v2", *FAST).returncode == 0  # has none in git: ours
        assert account.release("deploy", "v3", *FAST).returncode == 0
        libraries = client.function_list("betatrader_*")
    assert sorted(len(one[one.index(b"functions") + 1]) for one in libraries) == [1, 9]
    done = account.release("deploy", "v4", *FAST)
    assert done.returncode == 1
    assert "Redis does not take the functions of " in done.stderr
    assert "nothing moved" in done.stderr
    assert account.runs() == at("v3")


def test_the_plan_and_a_dry_run_print_each_command_and_change_nothing(account: World) -> None:
    plan = account.release("plan", "v2")
    dry = account.release("deploy", "v2", "--dry-run")
    assert plan.returncode == dry.returncode == 0, plan.stderr + dry.stderr
    for told in (plan.stdout, dry.stdout):
        for app in ("jobs", "intel", "trading"):
            assert f"/{app}.toml -a betatrader-{app} --image " in told
        assert told.count("  fly deploy -c ") == 3
        assert told.count("--image registry.fly.io/betatrader-trading:v2") == 3
    assert account.runs() == at("v1")
    assert len(account.commands("deploy", "-c")) == 3
    back = account.release("rollback", "v1", "--dry-run", "--json")
    assert [s["command"] for s in json.loads(back.stdout)["steps"]] == ["", "", ""]


def test_a_plan_of_which_nobody_reads_the_rest_ends_without_a_trace(account: World) -> None:
    process = account.start("plan", "v2")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read().splitlines() == [NO_CODE]
    assert process.wait(20) == 1
    process.stderr.close()


def test_an_app_that_runs_the_image_is_left_alone(account: World) -> None:
    assert account.release("deploy", "v1", *FAST).returncode == 0
    assert len(account.commands("deploy", "-c")) == 3


@pytest.mark.parametrize("role", ["jobs", "intel", "trading"])
def test_where_a_gate_fails_all_go_back_to_the_version_before_with_its_files(
    account: World, role: str
) -> None:
    account.push("v2", broken=role)
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 1
    assert "Rolled back" in done.stderr or "no app has moved" in done.stderr
    assert account.runs() == at("v1")
    assert account.configured() == dict.fromkeys(("jobs", "intel", "trading"), "v1")
    found = account.status()
    assert found["releases"][0]["result"] == "rolled back"
    assert found["under_way"] == ""


@pytest.mark.parametrize(
    ("image", "why"),
    [({"errors": 9}, "9 errors in its log"), ({"unexplained": 1}, "1 differences to the venue")],
)
def test_a_burst_of_errors_and_books_that_differ_are_no_success(
    account: World, image: dict[str, int], why: str
) -> None:
    account.push("v2", **image)
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 1
    assert why in done.stderr
    assert account.runs() == at("v1")


def test_a_blue_that_fly_leaves_alive_while_it_reports_success_is_removed(account: World) -> None:
    account.fail("deploy", "trading", "hanging")
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 0, done.stderr
    assert "was left over: removed" in done.stderr
    assert account.runs() == at("v2")


def test_a_doubled_trader_is_removed_too_and_the_leader_stays(account: World) -> None:
    account.fail("deploy", "trading", "duplicate")
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v2")
    found = account.status()
    assert found["leader"] == found["apps"][2]["machines"][0]["id"]


def test_where_fly_destroys_both_colours_the_deploy_is_done_once_more(account: World) -> None:
    account.fail("deploy", "trading", "destroyed")
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v2")


@pytest.mark.parametrize(
    ("role", "kind"), [("jobs", "stuck"), ("trading", "api"), ("trading", "abort")]
)
def test_a_machine_that_is_stuck_and_an_error_half_way_lead_back(
    account: World, role: str, kind: str
) -> None:
    account.fail("deploy", role, kind)
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 1
    assert "Rolled back" in done.stderr
    assert account.runs() == at("v1")


def test_an_app_that_ran_nothing_before_keeps_no_other_from_going_back(account: World) -> None:
    account.given("scale", "count", "0", "-a", "betatrader-jobs", "--yes")
    account.push("v2", errors=9)  # trading's gate fails
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 1
    assert account.runs() == {**at("v1"), "jobs": ["v2"]}
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("NOT all rolled back: ")]
    assert "back: trading, intel; jobs had no version before to go back to." in line
    assert account.status()["releases"][0]["result"] == "rolled back in part"
    assert account.status()["under_way"] == ""


def test_an_app_with_which_going_back_fails_keeps_no_other_from_it(account: World) -> None:
    account.push("v2", errors=9)
    for kind in ("hanging", "api"):  # the way there, the way back
        account.fail("deploy", "trading", kind)
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 1
    assert account.runs() == {**at("v1"), "trading": ["v2"]}
    assert "back: intel, jobs; going back with trading failed: `fly deploy" in done.stderr


def by_hand(account: World, tag: str) -> None:
    """A trader of a tag that git does not know."""
    image = f"registry.fly.io/betatrader-trading:{tag}"
    registry = account.state()["registry"]
    account.change(registry={**registry, image: {**registry[image.replace(tag, "v1")]}})
    file = str(account.checkout / "fly/trading.toml")
    account.given("deploy", "-c", file, "-a", "betatrader-trading", "--image", image, "--ha=false")


def test_a_version_to_which_no_way_leads_back_is_told_of_before_anything_changes(
    account: World,
) -> None:
    by_hand(account, "hand1")
    told = "betatrader-trading runs registry.fly.io/betatrader-trading:hand1: no fly files are"
    for words in (("plan", "v2"), ("deploy", "v2", "--dry-run"), ("deploy", "v2", *FAST)):
        refused = account.release(*words)
        assert (refused.returncode, refused.stdout) == (6, "")
        assert f"no way would lead back: {told}" in refused.stderr
        assert "git tag TAG COMMIT" in refused.stderr
    assert account.runs() == {**at("v1"), "trading": ["hand1"]}
    back = account.release("rollback", "v1", "--dry-run")
    assert back.returncode == 0, back.stderr
    assert f"warning: no way leads back to what runs: {told}" in back.stderr
    done = account.release("deploy", "v2", "--immediate", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v2")
    by_hand(account, "hand2")
    account.git("tag", "hand2", "v2")
    assert account.release("plan", "v1").returncode == 0


def test_what_the_registry_does_not_know_yet_is_tried_again(account: World) -> None:
    account.fail("deploy", "jobs", "registry")
    account.fail("machine list", "intel", "api")
    assert account.release("deploy", "v2", *FAST).returncode == 0
    assert account.runs() == at("v2")


def test_rollback_goes_back_by_one_command_with_the_files_of_that_tag(account: World) -> None:
    assert account.release("deploy", "v2", *FAST).returncode == 0
    done = account.release("rollback", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v1")
    assert account.configured() == dict.fromkeys(("jobs", "intel", "trading"), "v1")
    again = account.release("rollback", *FAST)
    assert again.returncode == 6, "before v1 there was nothing; v2 was just left"
    assert account.runs() == at("v1")
    account.publish("v3")
    assert account.release("deploy", "v3", *FAST).returncode == 0
    assert account.release("rollback", "v1", *FAST).returncode == 0
    assert account.runs() == at("v1")
    assert account.status()["releases"][0]["kind"] == "rollback"


def test_files_of_a_tag_that_git_does_not_have_come_from_the_record(
    account: World, tmp_path: Path
) -> None:
    assert account.release("deploy", "v2", *FAST).returncode == 0
    done = account.release("rollback", "v1", *FAST, "--project", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert account.configured() == dict.fromkeys(("jobs", "intel", "trading"), "v1")


def test_a_version_that_cannot_read_what_is_stored_is_refused(account: World) -> None:
    assert account.release("deploy", "v2", *FAST).returncode == 0
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.set(keys.RELEASE_SCHEMA, 2)
    done = account.release("rollback", "v1", *FAST)
    assert done.returncode == 6
    assert "v1 reads schemas 1 to 1, and schema 2 is stored" in done.stderr
    assert account.runs() == at("v2")


@pytest.fixture
def users(server: Server) -> Iterator[redis.Redis]:
    """The server knows a user for each role, as one of today's code does."""
    with redis.Redis.from_url(server.url) as client:
        lines = acl.acl_file({name: Secret(f"{name}-pass-0123456") for name in acl.USERS})
        for line in lines.splitlines()[1:]:
            before, *selectors = line.split(" (")
            _, name, *rules = before.split()
            client.execute_command("ACL SETUSER", name, *rules, *(f"({one}" for one in selectors))
        yield client
        client.acl_deluser(*acl.USERS)


def needing(account: World, tag: str, command: str) -> None:
    """A version whose trader needs one more right in Redis."""
    package = account.checkout / "betatrader"
    shutil.copytree(PROJECT / "betatrader", package, dirs_exist_ok=True)
    path = package / "store/acl.py"
    path.write_text(path.read_text().replace('"info function', f'"{command} info function'))
    account.publish(tag)


def test_a_version_that_may_not_do_its_work_in_redis_is_refused_before_anything_changes(
    account: World, users: redis.Redis
) -> None:
    needing(account, "v3", "dbsize")
    for words in (("plan", "v3"), ("deploy", "v3", *FAST), ("rollback", "v3", *FAST)):
        done = account.release(*words)
        assert done.returncode == 6
        assert "betatrader-redis does not give what v3 needs: trading: dbsize\n" in done.stderr
        assert "fly deploy -c fly/redis.toml -a betatrader-redis --remote-only" in done.stderr
    assert account.runs() == at("v1")
    assert "under_way': ''" in str(account.status())
    elsewhere = account.release("plan", "v3", "--redis-app", "none")
    assert elsewhere.returncode == 0, elsewhere.stderr
    users.execute_command("ACL SETUSER", "trading", "+dbsize")
    done = account.release("deploy", "v3", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v3")


def test_in_an_emergency_a_right_that_is_lacking_is_told_alone(
    account: World, users: redis.Redis
) -> None:
    assert account.release("deploy", "v2", *FAST).returncode == 0
    users.execute_command("ACL SETUSER", "intel", "reset")
    needing(account, "v3", "dbsize")
    done = account.release("rollback", "v3", *FAST, "--immediate")
    assert done.returncode == 0, done.stderr
    assert "does not give what v3 needs: intel: " in done.stderr


def test_who_may_not_ask_for_rights_deploys_redis_first_and_may_go_back(
    account: World, users: redis.Redis
) -> None:
    """The server is of an image before the question."""
    needing(account, "v3", "info")
    users.execute_command("ACL SETUSER", "operator", "-acl|getuser")
    address = os.environ["REDIS_URL"].replace("unix://", "unix://operator:operator-pass-0123456@")
    done = account.release("deploy", "v3", *FAST, REDIS_URL=address)
    assert done.returncode == 6
    assert "does not give what v3 needs: operator: acl|getuser" in done.stderr
    back = account.release("rollback", "v3", "--dry-run", REDIS_URL=address)
    assert back.returncode == 0, back.stderr
    assert "does not give what v3 needs" in back.stderr


def test_a_release_raises_the_schema_once_every_role_reads_it(account: World) -> None:
    account.push("v2", reads="1 2")
    assert account.release("deploy", "v2", *FAST).returncode == 0
    assert account.status()["schema"] == 2
    assert account.release("rollback", "v1", *FAST).returncode == 6


def cut_off(account: World) -> None:
    """A release of v2 that is killed while fly works at trading."""
    account.fail("deploy", "trading", "hangs")
    process = account.start("deploy", "v2", *FAST)
    until(lambda: len(account.runs()["trading"]) == 2, 60)
    process.kill()
    process.communicate(timeout=10)
    silent()


def silent() -> None:
    """The lock's last sign of life is so long ago that it counts as cut off."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        held = json.loads(client.get(keys.RELEASE_LOCK) or b"")
        client.set(keys.RELEASE_LOCK, json.dumps({**held, "seen_ns": held["seen_ns"] - 16 * 10**9}))


def lock() -> dict[str, object]:
    """The lock as it stands."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        held: dict[str, object] = json.loads(client.get(keys.RELEASE_LOCK) or b"{}")
        return held


def test_a_release_that_was_killed_is_found_refused_and_resumed(account: World) -> None:
    cut_off(account)
    found = account.status()
    assert found["cut_off"]
    assert "trading: deploying" in found["under_way"]
    shown = account.release("status").stdout
    assert f"cut off: {found['under_way'].partition(', seen')[0]}, seen " in shown
    assert f"\n  {found['mend']}\n" in shown
    assert "under way" not in shown
    refused = account.release("deploy", "v2", *FAST)
    assert refused.returncode == 6
    assert "a release was cut off" in refused.stderr
    assert "--resume" in refused.stderr
    done = account.release("deploy", "--resume", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v2")
    assert account.status()["releases"][0]["result"] == "done"


@pytest.mark.parametrize("words", [("rollback",), ("deploy", "--resume")])
def test_a_dry_run_after_a_release_was_killed_prints_what_is_done_then(
    account: World, words: tuple[str, ...]
) -> None:
    cut_off(account)
    before = account.state()["apps"]
    dry = account.release(*words, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert account.state()["apps"] == before
    printed = [line.split()[1:] for line in dry.stdout.splitlines() if line.startswith("  fly ")]
    given = len(account.commands())
    assert account.release(*words, *FAST).returncode == 0
    done = [
        [f"fly/{Path(word).name}" if word.endswith(".toml") else word for word in command]
        for command in account.commands()[given:]
        if command[:2] in (["machine", "stop"], ["machine", "destroy"], ["deploy", "-c"])
    ]
    assert done == [
        [f"fly/{Path(word).name}" if word.endswith(".toml") else word for word in command]
        for command in printed
    ]
    assert len(done) == {"rollback": 4, "deploy": 2}[words[0]]


def test_the_commands_of_a_dry_run_do_by_hand_what_the_rollback_does(account: World) -> None:
    """With the fly files of the version, whatever lies in the checkout."""
    assert account.release("deploy", "v2", *FAST).returncode == 0
    path = account.checkout / "fly/trading.toml"
    path.write_text(path.read_text().replace('VERSION_SEEN = "v2"', 'VERSION_SEEN = "of today"'))
    dry = account.release("rollback", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert account.runs() == at("v2")
    printed = [line.split()[1:] for line in dry.stdout.splitlines() if line.startswith("  fly ")]
    assert len(printed) == 3
    for command in printed:
        account.given(*command)
    assert account.runs() == at("v1")
    assert account.configured() == dict.fromkeys(("jobs", "intel", "trading"), "v1")


def test_a_release_that_was_killed_is_taken_back_by_rollback(account: World) -> None:
    cut_off(account)
    done = account.release("rollback", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v1")
    found = account.status()
    assert [one["result"] for one in found["releases"]] == ["done", "failed", "done"]
    assert found["under_way"] == ""


def test_redis_going_away_leaves_a_release_that_can_be_gone_on_with(
    account: World, server: Server
) -> None:
    account.fail("deploy", "trading", "slow")
    process = account.start("deploy", "v2", *FAST)
    until(lambda: len(account.runs()["trading"]) == 2, 60)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert process.returncode == 4
    assert "Redis went away during a release, at trading: deploying" in errors
    assert "--resume" in errors
    silent()
    done = account.release("deploy", "--resume", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v2")


def test_two_releases_at_once_are_refused_and_a_signal_says_where_it_stands(
    account: World,
) -> None:
    account.fail("deploy", "trading", "hangs")
    first = account.start("deploy", "v2", *FAST)
    until(lambda: len(account.runs()["trading"]) == 2, 60)
    second = account.release("deploy", "v2", *FAST)
    assert second.returncode == 6
    assert "machines" in second.stderr or "under way" in second.stderr
    first.send_signal(signal.SIGTERM)
    _, errors = first.communicate(timeout=90)
    assert first.returncode == 1
    assert "cut off: deploy" in errors
    assert "at trading: deploying" in errors
    assert "Traceback" not in errors


def test_a_release_that_goes_back_stays_alive_and_cut_off_there_only_goes_back(
    account: World,
) -> None:
    account.push("v2", errors=9)  # trading's gate fails
    for kind in ("hanging", "hangs"):  # the way there, the way back
        account.fail("deploy", "intel", kind)
    process = account.start("deploy", "v2", *FAST)
    until(
        lambda: account.runs()["intel"] == ["v2", "v1"] and account.runs()["trading"] == ["v1"], 60
    )
    seen = lock()
    assert seen["step"] == "intel: going back"
    until(lambda: lock()["seen_ns"] != seen["seen_ns"], 20)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "at intel: going back" in errors
    assert "--resume" not in errors
    refused = account.release("deploy", "--resume", *FAST)
    assert refused.returncode == 6
    assert "what was cut off did not go on" in refused.stderr
    done = account.release("rollback", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v1")


def test_nothing_begins_with_an_image_a_file_or_an_account_that_is_wrong(account: World) -> None:
    account.push("v2")
    tagless = account.release("deploy", "v9", *FAST)
    assert tagless.returncode == 2
    assert "no fly files are known for v9" in tagless.stderr
    state = account.state()
    del state["registry"]["registry.fly.io/betatrader-trading:v2"]
    account.change(registry=state["registry"])
    for words in (("plan", "v2"), ("deploy", "v2", "--dry-run"), ("deploy", "v2", *FAST)):
        absent = account.release(*words)
        assert (absent.returncode, absent.stdout) == (2, "")
        assert absent.stderr.splitlines() == [
            "registry.fly.io/betatrader-trading:v2 is not in the registry",
            "Push it (docs/deploy.md says how), or mend the tag.",
        ]
    assert [one["image"] for one in account.status()["releases"]] == [
        "registry.fly.io/betatrader-trading:v1"
    ], "nothing was begun"
    account.change(user="")
    stranger = account.release("deploy", "v2", *FAST)
    assert stranger.returncode == 4
    assert "nobody is logged in at fly" in stranger.stderr
    account.change(user="ann@example.com")
    other = account.release("deploy", "v2", *FAST, "--prefix", "elsewhere")
    assert other.returncode == 4
    assert "fly knows no app elsewhere-jobs" in other.stderr
    without = account.release("deploy", "v2", *FAST, BETATRADER_FLY="no-fly-here")
    assert without.returncode == 4
    assert "no no-fly-here command is here" in without.stderr
    assert account.runs() == at("v1")
    assert account.status()["under_way"] == ""
    for done in (tagless, absent, stranger, other, without):
        assert len([x for x in done.stderr.splitlines() if x]) <= 8
        assert "Traceback" not in done.stderr


def test_where_the_way_to_redis_is_not_open_that_way_is_named(account: World) -> None:
    url = "redis://operator:a-password@127.0.0.1:1"
    for app, way in (
        (
            "",
            "Keep open `fly proxy 16379:6379 -a betatrader-redis`, and set REDIS_URL to redis://op",
        ),
        ("none", "Set REDIS_URL to the address that its provider names."),
    ):
        done = account.release("status", "--redis-app", app, REDIS_URL=url)
        assert (done.returncode, done.stdout) == (4, "")
        what, remedy = done.stderr.splitlines()
        assert what.startswith("Redis at redis://***@127.0.0.1:1 does not answer: ")
        assert remedy.startswith(way)
        assert "a-password" not in done.stderr
    unset = account.release("status", REDIS_URL="")
    assert "REDIS_URL is not set" in unset.stderr
    assert "Run `fly proxy 16379:6379 -a betatrader-redis`, and set" in unset.stderr


def test_a_program_that_is_no_fly_is_refused_in_two_lines(account: World) -> None:
    for program, words in (
        ("/bin/true", ("status",)),
        ("/bin/true", ("secrets", "check")),
        ("/bin/true", ("secrets", "set", "jobs")),
        ("/bin/echo", ("plan", "v2")),
    ):
        done = account.release(*words, given="REDIS_URL=redis://a:b@c\n", BETATRADER_FLY=program)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        what, remedy = done.stderr.splitlines()
        assert "--json` ended well and did not answer as fly does: expected as JSON " in what
        assert remedy.startswith(f"{program} was run: ")


def test_an_image_that_only_this_machines_docker_has_is_none_and_never_goes_out(
    account: World,
) -> None:
    image = "registry.fly.io/betatrader-trading:v2"
    state = account.state()
    entry = state["registry"].pop(image)
    account.change(registry=state["registry"], docker={image: entry})
    for words in (("plan", "v2"), ("deploy", "v2", *FAST)):
        absent = account.release(*words)
        assert absent.returncode == 2, absent.stderr
        assert f"{image} is not in the registry" in absent.stderr
    account.change(registry={**state["registry"], image: entry})
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v2")


def test_a_fly_file_with_a_wrong_line_stops_a_release(account: World) -> None:
    path = account.checkout / "fly/jobs.toml"
    path.write_text(path.read_text().replace('app = "--role jobs"', 'app = "--role job"'))
    account.publish("v3")
    done = account.release("deploy", "v3", *FAST)
    assert done.returncode == 3
    assert "fly/jobs.toml at v3" in done.stderr
    assert account.runs() == at("v1")


def test_a_version_of_older_rules_is_gone_back_to_and_not_deployed_anew(account: World) -> None:
    (account.checkout / "fly/redis.toml").write_text("swap_size_mb = 'none'\n")
    account.publish("v3")
    done = account.release("deploy", "v3", *FAST)
    assert done.returncode == 0, done.stderr
    assert "no reason to stop: fly at v3/redis.toml" in done.stderr
    path = account.checkout / "fly/jobs.toml"
    path.write_text(f"once_a_key = 1\n{path.read_text()}")
    account.publish("v4")
    refused = account.release("deploy", "v4", *FAST)
    assert refused.returncode == 3
    assert "fly knows no such key" in refused.stderr
    back = account.release("rollback", "v4", *FAST)
    assert back.returncode == 0, back.stderr
    assert "no reason to stop: fly at v4/jobs.toml line 1: once_a_key" in back.stderr
    account.push("v2", broken="trading")
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 1
    assert "Rolled back" in done.stderr
    assert account.runs() == at("v4")


def test_a_file_of_redis_that_is_malformed_is_told_and_stops_no_release(account: World) -> None:
    path = account.checkout / "fly/redis.toml"
    for number, text in enumerate((b"not toml [", b"env = 5\n", b"# f\xfcr Redis\n")):
        path.write_bytes(text)
        account.publish(f"w{number}")
        for words in (("plan",), ("rollback", "--dry-run")):
            done = account.release(*words, f"w{number}")
            assert done.returncode == 0, done.stderr
            assert f"no reason to stop: fly at w{number}/redis.toml" in done.stderr
    done = account.release("deploy", "w2", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("w2")


def with_settings(account: World, tag: str, *lines: str) -> None:
    """A version with its code, and with more in [env] of its trader."""
    package = account.checkout / "betatrader"
    shutil.copytree(PROJECT / "betatrader", package, dirs_exist_ok=True)
    path = account.checkout / "fly/trading.toml"
    path.write_text(path.read_text().replace("[env]\n", "\n".join(["[env]", *lines, ""]), 1))
    account.publish(tag)


def test_settings_that_a_role_cannot_read_stop_a_deploy_before_anything_changes(
    account: World,
) -> None:
    with_settings(account, "v3", 'BETATRADER_RISK__DALY_LOSS_USD = "15"')
    line = "env.BETATRADER_RISK__DALY_LOSS_USD: risk.daly_loss_usd: unknown field; did you mean"
    done = account.release("check", "fly")
    assert done.returncode == 3
    assert line in done.stderr
    deploys = len(account.commands("deploy", "-c"))
    for words in (("plan", "v3"), ("deploy", "v3", *FAST)):
        done = account.release(*words)
        assert done.returncode == 3
        assert f"fly/trading.toml at v3: {line} `daily_loss_usd`?" in done.stderr
    assert len(account.commands("deploy", "-c")) == deploys
    assert account.runs() == at("v1")
    back = account.release("rollback", "v3", *FAST)
    assert back.returncode == 0, back.stderr
    assert "as its own version reads it, and no reason to stop: fly/trading.toml at v3" in (
        back.stderr
    )
    assert account.runs() == at("v3")

    # a version that has the setting is deployed by a command whose own code has not
    config = account.checkout / "betatrader/config/__init__.py"
    field = "    daily_loss_usd: Amount = Decimal(20)\n"
    text = config.read_text()
    assert field in text
    config.write_text(text.replace(field, field + field.replace("daily", "daly")))
    account.publish("v4")
    done = account.release("deploy", "v4", *FAST)
    assert done.returncode == 0, done.stderr
    assert "no reason to stop" not in done.stderr
    assert account.runs() == at("v4")


def test_a_tag_that_has_moved_is_not_deployed_and_gone_back_to_as_it_was(account: World) -> None:
    first = account.commit("v1")
    assert account.release("deploy", "v2", *FAST).returncode == 0
    account.git("tag", "-f", "v1", "v2")
    refused = account.release("deploy", "v1", *FAST)
    assert refused.returncode == 6
    assert f"v1 is commit {account.commit('v2')[:12]} today, and was {first[:12]}" in refused.stderr
    assert account.runs() == at("v2")
    done = account.release("rollback", "v1", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.configured() == dict.fromkeys(("jobs", "intel", "trading"), "v1")


def test_secrets_that_are_missing_extra_or_alike_stop_a_release(account: World) -> None:
    state = account.state()
    held = state["apps"]["betatrader-intel"]["secrets"]
    key = dict(held["REDIS_URL"])
    held["BETATRADER_BINANCE__KEY"] = {**key, "digest": "1"}
    del state["apps"]["betatrader-jobs"]["secrets"]["REDIS_URL"]
    trading = state["apps"]["betatrader-trading"]["secrets"]
    trading["BETATRADER_CONTROL_TOKEN"]["digest"] = trading["REDIS_URL"]["digest"]
    account.change(apps=state["apps"])
    for done in (account.release("deploy", "v2", *FAST), account.release("secrets", "check")):
        assert done.returncode == 3
        assert "jobs: REDIS_URL is missing" in done.stderr
        assert "intel: BETATRADER_BINANCE__KEY is set, and this app has no use" in done.stderr
        assert "BETATRADER_CONTROL_TOKEN and REDIS_URL hold one and the same" in done.stderr
    assert account.runs() == at("v1")


def test_secrets_are_set_by_stdin_staged_and_never_shown(account: World) -> None:
    value = "a#value with spaces and 'quotes'"
    done = account.release(
        "secrets", "set", "trading", given=f'BETATRADER_BINANCE__KEY="{value}"\n'
    )
    assert done.returncode == 0, done.stderr
    kept = account.state()["apps"]["betatrader-trading"]["secrets"]["BETATRADER_BINANCE__KEY"]
    assert (kept["value"], kept["status"]) == (value, "Staged")
    written = [done.stdout, done.stderr, (account.fly / "commands.jsonl").read_text()]
    every = [value, *(s for app in SECRETS.values() for s in app.values())]
    assert not [s for s in every for text in written if s in text]
    for role, line, why in (
        ("intel", "BETATRADER_BINANCE__KEY=abcdefghijk", "it belongs to trading"),
        ("trading", "BETATRADER_BINANCE__KEY=<your key>", "holds a placeholder"),
        ("trading", "nonsense", "line 1 is not NAME=VALUE"),
        ("trading", "", "no secret came on stdin"),
    ):
        refused = account.release("secrets", "set", role, given=line)
        assert refused.returncode == 2
        assert why in refused.stderr


def test_a_rotation_that_would_keep_a_secret_of_the_old_wallet_is_refused(account: World) -> None:
    path = account.checkout / "fly/trading.toml"
    traded = f"BETATRADER_POLYMARKET__MARKETS = '[\"0x{'ab' * 32}\"]'"
    path.write_text(path.read_text().replace("[env]\n", f"[env]\n{traded}\n"))
    account.publish("v3")
    old = {
        "BETATRADER_POLYMARKET__PRIVATE_KEY": "0x" + "1f" * 32,
        "BETATRADER_POLYMARKET__API_KEY": "an-old-api-key",
        "BETATRADER_POLYMARKET__API_SECRET": "an-old-api-secret",
        "BETATRADER_POLYMARKET__API_PASSPHRASE": "an-old-passphrase",
    }
    lines = "".join(f"{name}={value}\n" for name, value in old.items())
    assert account.release("secrets", "set", "trading", given=lines).returncode == 0
    assert account.release("deploy", "v3", *FAST).returncode == 0
    before = account.state()["apps"]["betatrader-trading"]
    new = f"BETATRADER_POLYMARKET__PRIVATE_KEY=0x{'2e' * 32}\n"
    done = account.release("secrets", "rotate", "polymarket", *FAST, given=new)
    assert done.returncode == 6, done.stderr
    for name in ("API_KEY", "API_SECRET", "API_PASSPHRASE"):
        assert f"BETATRADER_POLYMARKET__{name}" in done.stderr.splitlines()[0]
    assert "nothing was changed" in done.stderr
    assert account.state()["apps"]["betatrader-trading"] == before
    assert account.status()["under_way"] == ""


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("api", "and not in force before its next deploy: BETATRADER_BINANCE__KEY (staged)"),
        ("abort", "and all its secrets are in force"),
    ],
)
def test_where_new_secrets_fail_to_go_out_one_trader_stays_and_it_is_told_with_which(
    account: World, fault: str, told: str
) -> None:
    lines = "BETATRADER_BINANCE__KEY=a-new-key-0123\nBETATRADER_BINANCE__SECRET=a-new-secret-01\n"
    assert account.release("secrets", "set", "trading", given=lines).returncode == 0
    account.fail("deploy", "trading", fault)
    done = account.release("deploy", "v1", *FAST)
    assert done.returncode == 1, done.stderr
    assert account.runs() == at("v1"), "one machine each"
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("NOT rolled back")]
    trader = line[line.index("betatrader-trading runs machine") :]
    assert told in trader
    running = account.state()["apps"]["betatrader-trading"]["machines"][0]["_secrets"]
    assert ("BETATRADER_BINANCE__KEY" in running) == (fault == "abort")
    assert account.status()["under_way"] == ""


def intel(account: World) -> list[str]:
    return account.runs()["intel"]


def test_several_intel_machines_move_together_and_back_together(account: World) -> None:
    (one,) = account.state()["apps"]["betatrader-intel"]["machines"]
    account.given("machine", "clone", one["id"], "-a", "betatrader-intel")
    assert intel(account) == ["v1", "v1"]
    assert account.release("plan", "v2").returncode == 0
    assert account.release("secrets", "check").returncode == 0
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == {**at("v2"), "intel": ["v2", "v2"]}
    done = account.release("rollback", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == {**at("v1"), "intel": ["v1", "v1"]}
    account.push("v2", broken="trading")
    assert account.release("deploy", "v2", *FAST).returncode == 1
    assert account.runs() == {**at("v1"), "intel": ["v1", "v1"]}
    (two,) = account.state()["apps"]["betatrader-jobs"]["machines"]
    account.given("machine", "clone", two["id"], "-a", "betatrader-jobs")
    refused = account.release("plan", "v2")
    assert refused.returncode == 6
    assert "betatrader-jobs has 2 machines" in refused.stderr


def test_in_an_emergency_no_health_is_asked_and_nothing_goes_back_by_itself(
    account: World,
) -> None:
    assert account.release("deploy", "v2", *FAST).returncode == 0
    account.push("v1", broken="all")
    account.fail("deploy", "jobs", "stuck")
    failed = account.release("rollback", "v1", "--immediate", *FAST)
    assert failed.returncode == 1
    assert "NOT rolled back" in failed.stderr
    assert "with --immediate nothing goes back by itself" in failed.stderr
    assert account.runs() == {**at("v1"), "jobs": []}
    done = account.release("rollback", "v1", "--immediate", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v1")


def test_an_image_of_another_commit_than_its_tag_names_does_not_stay(account: World) -> None:
    account.push("v2", revision=account.commit("v1"))
    done = account.release("deploy", "v2", *FAST)
    assert done.returncode == 1
    told = f"built from revision {account.commit('v1')[:12]}, and its tag names "
    assert f"{told}{account.commit('v2')[:12]} today" in done.stderr
    assert account.runs() == at("v1")


@pytest.fixture
def user(server: Server) -> Iterator[Callable[..., str]]:
    """Makes a user of the Redis with these rights; its address."""

    def made(*rules: str) -> str:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", "ann", "reset", "on", ">a-password", *rules)
        return f"{server.url.replace('unix://', 'unix://ann@')}?password=a-password"

    yield made
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "DELUSER", "ann")


def test_a_user_of_redis_without_rights_is_told_whose_to_take(
    account: World, user: Callable[..., str]
) -> None:
    url = user("+ping", "+hello", "+client")
    for words in (("status",), ("plan", "v2"), ("deploy", "v2", *FAST), ("secrets", "check")):
        done = account.release(*words, REDIS_URL=url)
        assert done.returncode == 4, done.stderr
        assert "does not let this user release" in done.stderr
        assert "REDIS_URL to the operator's" in done.stderr
        assert len(done.stderr.splitlines()) <= 3, done.stderr
        assert "a-password" not in done.stderr
    assert account.runs() == at("v1")


def test_redis_failing_at_the_last_step_leaves_a_release_that_can_be_gone_on_with(
    account: World, user: Callable[..., str]
) -> None:
    account.push("v2", reads="1 2")
    written = (keys.RELEASE_LOCK, keys.RELEASES, *map(keys.beat, at("")), keys.LEASE)
    url = user("+@all", "%R~*", *(f"~{key}" for key in written))
    done = account.release("deploy", "v2", *FAST, REDIS_URL=url)
    assert done.returncode == 4, done.stderr
    assert "at all apps: raising the schema" in done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr
    done = account.release("deploy", "--resume", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.status()["schema"] == 2


def test_a_plan_tells_of_staged_secrets_and_that_their_app_is_deployed(account: World) -> None:
    lines = "BETATRADER_BINANCE__KEY=a-new-key-0123\nBETATRADER_BINANCE__SECRET=a-new-secret-01\n"
    assert account.release("secrets", "set", "trading", given=lines).returncode == 0
    plan = account.release("plan", "v1")
    assert plan.returncode == 0, plan.stderr
    names = "BETATRADER_BINANCE__KEY, BETATRADER_BINANCE__SECRET"
    assert f"staged secrets go into force: {names}" in plan.stdout
    assert plan.stdout.count("it runs this image already") == 2
    steps = json.loads(account.release("plan", "v1", "--json").stdout)["steps"]
    assert [bool(step["command"]) for step in steps] == [False, False, True]
    assert steps[2]["staged"] == names.split(", ")


def test_a_secret_of_unknown_standing_is_told_and_restarts_no_app(account: World) -> None:
    state = account.state()
    state["apps"]["betatrader-trading"]["secrets"]["REDIS_URL"]["no_time"] = True
    account.change(apps=state["apps"])
    before = len(account.commands("deploy", "-c"))
    plan = account.release("plan", "v1")
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.count("it runs this image already") == 3
    assert "fly cannot say whether these secrets are in force: REDIS_URL" in plan.stdout
    done = account.release("deploy", "v1", *FAST)
    assert done.returncode == 0, done.stderr
    assert len(account.commands("deploy", "-c")) == before


def test_a_second_setup_is_released_beside_the_first_on_its_redis(account: World) -> None:
    """The apps of another prefix, without a Redis of their own."""
    for role, secrets in SECRETS.items():
        if role == "redis":
            continue
        account.given("apps", "create", f"second-{role}")
        lines = "".join(f"{name}={value}\n" for name, value in secrets.items())
        where = ("--prefix", "second", "--redis-app", "betatrader-redis")
        done = account.release("secrets", "set", role, *where, given=lines)
        assert f"staged at second-{role}: " in done.stdout, done.stderr
    image = "registry.fly.io/betatrader-trading:v2"
    alone = account.release("plan", image, "--prefix", "second")
    assert alone.returncode == 4
    assert "fly knows no app second-redis" in alone.stderr
    assert "that with --redis-app" in alone.stderr
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushall()
    for words in (("secrets", "check"), ("plan", image), ("deploy", image, *FAST)):
        done = account.release(*words, *where)
        assert done.returncode == 0, done.stderr
    shown = json.loads(account.release("status", *where, "--json").stdout)["apps"]
    assert [a["app"] for a in shown] == [f"second-{r}" for r in at("")] + ["betatrader-redis"]
    assert account.runs() == at("v1"), "the first setup is another"
    apps = account.state()["apps"]
    tags = {r: [m["image_ref"]["tag"] for m in apps[f"second-{r}"]["machines"]] for r in at("")}
    assert tags == at("v2")


def test_where_redis_is_no_app_of_ours_none_is_asked_for(account: World) -> None:
    state = account.state()
    del state["apps"]["betatrader-redis"]
    account.change(apps=state["apps"])
    assert "fly knows no app betatrader-redis" in account.release("plan", "v2").stderr
    where = ("--redis-app", "none")
    for words in (("secrets", "check"), ("plan", "v2"), ("deploy", "v2", *FAST)):
        done = account.release(*words, *where)
        assert done.returncode == 0, done.stderr
    shown = json.loads(account.release("status", *where, "--json").stdout)["apps"]
    assert [a["app"] for a in shown] == [f"betatrader-{r}" for r in at("")]
    assert account.runs() == at("v2")
    one = account.release("secrets", "set", "redis", *where, given="A=bcdefghijk\n")
    assert one.returncode == 2
    url = account.release("status", *where, REDIS_URL="")
    assert "Set REDIS_URL to the address that its provider names." in url.stderr
    slip = account.release("status", "--redis-app", "No App")
    assert (slip.returncode, "'No App' is no name of an app" in slip.stderr) == (2, True)


def test_a_check_and_a_plan_warn_of_a_cost_that_is_not_the_bill_and_refuse_nothing(
    account: World,
) -> None:
    right = account.release("check", "fly")
    assert (right.returncode, right.stderr) == (0, "")
    path = account.checkout / "fly/trading.toml"
    path.write_text(path.read_text().replace('memory = "512mb"', 'memory = "1gb"'))
    account.publish("v3")
    for words in (("check", "fly"), ("plan", "v3")):
        done = account.release(*words)
        assert done.returncode == 0, done.stderr
        assert "warning: fly/jobs.toml: BETATRADER_JOBS__COST_USD_PER_MONTH is 10.99" in done.stderr
        assert "profit is told too high" in done.stderr
