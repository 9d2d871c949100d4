"""The pure parts of a release: images, gates, secrets, files."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from betatrader.model.errors import (
    ConfigurationError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from betatrader.model.secret import Secret
from betatrader.release import (
    configuration,
    credentials,
    fly,
    planning,
    releasing,
    rotating,
    schemas,
)
from betatrader.release.apps import APPS, Image, image
from betatrader.release.fly import AppSecret, Check, FlyError, ImageRef, Machine
from betatrader.release.gates import Sight, Wanted, in_force, judge, surplus
from betatrader.release.record import Held, Record, refused

FLY = Path(__file__).resolve().parents[2] / "fly"
IMAGE = "registry.fly.io/betatrader-trading:v2"
OLD = "registry.fly.io/betatrader-trading:v1"
SECOND = 1_000_000_000


def machine(name: str = "m2", tag: str = "v2", state: str = "started", **more: object) -> Machine:
    ref = ImageRef("registry.fly.io", "betatrader-trading", tag, f"sha256:{tag}")
    return Machine(name, state, "arn", ref, (Check("ready", "passing"),), **more)  # type: ignore[arg-type]


def sight(*machines: Machine, holder: str = "m2", **beat: str) -> Sight:
    told = {"image": IMAGE, "machine": "m2", "leads": "1", "reconciling": "0", "errors": "0"}
    return Sight(machines or (machine(),), told | beat, {"holder": f"{holder} 17 abcd"})


WANTED = Wanted("trading", IMAGE, "", 5, revision="a" * 40)


# images


def test_a_tag_is_one_of_this_setup_and_a_reference_is_itself() -> None:
    assert str(image("sha-1a2b")) == "registry.fly.io/betatrader-trading:sha-1a2b"
    assert str(image("v1", "mine")) == "registry.fly.io/mine-trading:v1"
    assert str(image("ghcr.io/ann/betatrader:v1")) == "ghcr.io/ann/betatrader:v1"


@pytest.mark.parametrize(
    "text", ["", "latest", "a b", "x:y", "ghcr.io/ann/b", "r.io/a@sha256:ab", "-v", "v1;rm"]
)
def test_what_names_no_version_is_no_image(text: str) -> None:
    with pytest.raises(UsageError):
        image(text)


def test_a_deploy_always_names_its_image_its_app_and_one_machine() -> None:
    words = fly.deploy("betatrader-jobs", "fly/jobs.toml", image("v1"), "immediate")
    assert words[:5] == ["deploy", "-c", "fly/jobs.toml", "-a", "betatrader-jobs"]
    assert {"--ha=false", "--no-public-ips", "--yes"} < set(words)
    assert words[words.index("--image") + 1] == "registry.fly.io/betatrader-trading:v1"
    assert words[-2:] == ["--strategy", "immediate"]


# gates


def test_all_that_must_hold_holds() -> None:
    assert judge(WANTED, sight()) == []
    assert judge(WANTED, sight(image=f"{IMAGE}@sha256:v2")) == []
    for revision in ("a" * 40, "a" * 12, "unknown", ""):
        assert judge(WANTED, sight(revision=revision)) == []
    assert judge(WANTED._replace(revision=""), sight(revision="b" * 40)) == []
    assert judge(Wanted("jobs", IMAGE, "sha256:v2", 5), sight(leads="0", holder="other")) == []


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Sight((), {}, {}), "0 machines run, not one"),
        (sight(machine(), machine("m1", "v1")), "2 machines run, not one (m2 started"),
        (sight(machine(tag="v1")), "machine m2 runs registry.fly.io/betatrader-trading:v1"),
        (sight(machine(state="replacing")), "machine m2 is replacing"),
        (sight(machine(host_status="unreachable")), "the host of machine m2 is unreachable"),
        (Sight((machine(),), {}, {}), "it shows no heartbeat in Redis"),
        (sight(image=OLD), f"the role says that it is {OLD}"),
        (sight(not_ready="starting"), "the role is not ready: starting"),
        (
            sight(revision="0123456789ab"),
            "built from revision 0123456789ab, and its tag names aaaaaaaaaaaa today",
        ),
        (sight(errors="6"), "6 errors in its log, more than 5"),
        (sight(holder="m1"), "the lease is with m1, not machine m2"),
        (sight(leads="0"), "machine m2 does not lead"),
        (sight(machine="m1"), "machine m2 does not lead"),
        (sight(reconciling="1"), "it has not agreed with the venue yet"),
        (sight(unexplained="2"), "2 differences to the venue that no order explains"),
    ],
)
def test_what_does_not_hold_is_named(seen: Sight, why: str) -> None:
    assert why in "; ".join(problem.text for problem in judge(WANTED, seen))


def test_intel_may_have_several_machines_and_each_must_hold() -> None:
    wanted = Wanted("intel", IMAGE, "sha256:v2", 5)
    assert judge(wanted, sight(machine(), machine("m3"))) == []
    for other, why in (
        (machine("m3", "v1"), "machine m3 runs registry.fly.io/betatrader-trading:v1"),
        (machine("m3", state="starting"), "machine m3 is starting"),
    ):
        assert [p.text for p in judge(wanted, sight(machine(), other))] == [why]
    assert judge(wanted, Sight((), {}, {}))[0].text == "0 machines run, not one"
    sick = Machine("m3", "started", "", machine().image_ref, (Check("ready", "critical"),))
    assert surplus(wanted, sight(machine("m1", "v1"), machine(), sick)) == []


def test_several_that_write_one_heartbeat_in_turn_are_no_restarts() -> None:
    seen: dict[str, str] = {}

    def new(machine_id: str, instance: str) -> bool:
        return releasing.is_new(seen, sight(machine=machine_id, instance=instance))

    turns = [("m1", "a"), ("m2", "b"), ("m1", "a"), ("m2", "b"), ("m1", "c")]
    assert [new(*turn) for turn in turns] == [True, True, False, False, True]


def test_a_failing_check_and_none_at_all_are_no_health() -> None:
    failing = Machine("m2", "started", "", machine().image_ref, (Check("ready", "critical"),))
    none = Machine("m2", "started", "", machine().image_ref, ())
    assert judge(WANTED, sight(failing))[0].text == "machine m2: ready critical"
    assert judge(WANTED, sight(none))[0].text == "machine m2: no health check"


def test_in_an_emergency_only_the_machine_counts() -> None:
    wanted = WANTED._replace(immediate=True)
    failing = Machine("m2", "started", "", machine().image_ref, (Check("ready", "critical"),))
    assert judge(wanted, Sight((failing,), {}, {})) == []
    assert judge(wanted, Sight((machine(tag="v1"),), {}, {})) != []
    assert judge(wanted, Sight((machine(state="starting"),), {}, {})) != []
    assert surplus(wanted, Sight((machine("m1", "v1"), failing), {}, {})) == [machine("m1", "v1")]


def test_another_digest_under_the_same_tag_is_not_waited_for() -> None:
    (problem,) = judge(Wanted("intel", IMAGE, "sha256:else", 5), sight())
    assert problem.final


def test_what_a_deploy_leaves_over_is_all_but_the_leader() -> None:
    blue, green, twin = machine("m1", "v1"), machine("m2"), machine("m3", created_at="9")
    assert surplus(WANTED, sight(blue, green)) == [blue]
    assert surplus(WANTED, sight(green, twin)) == [twin]
    assert surplus(Wanted("jobs", IMAGE, "", 5), sight(green, twin)) == [green]
    assert surplus(Wanted("intel", IMAGE, "", 5), sight(blue, green, twin)) == [blue]
    assert surplus(WANTED, sight(blue)) == [], "the only one is never removed"
    assert surplus(WANTED, sight(green, machine("m1", "v1", "stopped"))) == []


def test_what_runs_stays_until_what_is_to_take_over_is_well() -> None:
    blue = machine("m1", "v1")
    sick = Machine("m2", "started", "", machine().image_ref, (Check("ready", "critical"),))
    assert surplus(WANTED, sight(blue, sick)) == []
    assert surplus(WANTED, sight(blue, machine(state="starting"))) == []


def test_of_two_that_nobody_leads_the_one_that_is_well_stays() -> None:
    sick = Machine("m3", "started", "", machine().image_ref, (), created_at="9")
    assert surplus(WANTED, sight(machine(), sick, holder="m9")) == [sick]


@pytest.mark.parametrize(
    "said",
    [
        'Could not find App "a"',
        "failed to list VMs: app not found",
        "failed to list app secrets: app not found",
        "the app name a could not be found, did you create the app or misspell it in the "
        "fly.toml file or via -a?",
    ],
)
async def test_an_app_that_is_not_there_is_told_as_such_in_whatever_words_fly_says_it(
    said: str, tmp_path: Path
) -> None:
    program = tmp_path / "fly"
    program.write_text(f"#!/bin/sh\necho {shlex.quote(f'Error: {said}')} >&2\nexit 1\n")
    program.chmod(0o755)
    asked = fly.Fly(str(program), lambda _line: None)
    with pytest.raises(UnreachableError, match=r"fly knows no app a of yours\nCreate it"):
        await asked.machines("a")
    command = fly.deploy("a", "a.toml", Image("registry.fly.io/a", "v1"))
    with pytest.raises(UnreachableError, match="fly knows no app a of yours"):
        await asked.deploy(command)


def said_by(folder: Path, text: str) -> fly.Fly:
    """A fly that ends well whatever it is asked, and says this."""
    program = folder / "fly"
    program.write_text(f"#!/bin/sh\necho {shlex.quote(text)}\n")
    program.chmod(0o755)
    return fly.Fly(str(program), lambda _line: None)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "Input data was truncated"),
        ("machine list", "JSON is malformed"),
        ("{}", "Expected `array`, got `object`"),
        ("null", "Expected `array`, got `null`"),
        ('[{"id": 5}]', "Expected `str`, got `int` - at `$[0].id`"),
        ('[{"id": "a", "image_ref": {"tag": null}}]', "at `$[0].image_ref.tag`"),
        ('[{"state": "started"}]', "Object missing required field `id`"),
    ],
)
async def test_what_is_no_list_of_machines_is_refused_and_never_none(
    said: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fly, "TRIES", 1)
    with pytest.raises(FlyError) as refused:
        await said_by(tmp_path, said).machines("a")
    what, remedy = str(refused.value).splitlines()
    assert what.startswith("`fly machine list -a a --json` ended well and did not answer as fly ")
    assert "expected as JSON a list of machines: " in what
    assert why in what
    assert (
        remedy == f"{tmp_path}/fly was run: where that is no fly, name another in BETATRADER_FLY."
    )


async def test_what_is_no_answer_on_secrets_or_on_who_is_logged_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fly, "TRIES", 1)
    assert await said_by(tmp_path, "null").secrets("a") == ()
    assert await said_by(tmp_path, '{"email": "ann"}').who() == "ann"
    for said in ("", "{}", '[{"digest": "a"}]'):
        with pytest.raises(FlyError, match="expected as JSON a list of secrets: "):
            await said_by(tmp_path, said).secrets("a")
        with pytest.raises(FlyError, match="expected as JSON who is logged in, "):
            await said_by(tmp_path, said).who()


async def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "fly"
    program.write_bytes(b"\x00 no program")
    program.chmod(0o755)
    with pytest.raises(UnreachableError) as refused:
        await fly.Fly(str(program), lambda _line: None).machines("a")
    what, remedy = str(refused.value).splitlines()
    assert what == f"`fly machine list` cannot be run: {program}: Exec format error"
    assert "name it in BETATRADER_FLY" in remedy


def test_a_secret_of_which_fly_knows_nothing_does_not_wait_for_a_deploy() -> None:
    found = {s: AppSecret("K", status=s).waits for s in ("Deployed", "Unknown", "Staged", "")}
    assert [status for status, waits in found.items() if waits] == ["Staged"]


@pytest.mark.parametrize(
    ("machines", "secrets", "told"),
    [
        ([], [], "a runs no machine"),
        ([machine(state="stopped")], [], "a runs no machine"),
        (
            [machine()],
            [AppSecret("K", status="Deployed")],
            "a runs machine m2 (started), and all its secrets are in force",
        ),
        (
            [machine()],
            [AppSecret("K", status="Staged"), AppSecret("L", status="Partial")],
            "a runs machine m2 (started), and not in force before its next deploy: "
            "K (staged), L (partial)",
        ),
        (
            [machine()],
            [AppSecret("K", status="Unknown")],
            "a runs machine m2 (started), and fly cannot say whether it has K",
        ),
    ],
)
def test_what_is_in_force_is_told_by_what_runs_and_what_fly_says_of_secrets(
    machines: list[Machine], secrets: list[AppSecret], told: str
) -> None:
    assert in_force("a", machines, secrets) == told


@pytest.mark.parametrize(
    ("mode", "command", "right"),
    [
        ("live", "--role trading --live", True),
        ("live", "--role trading", False),
        ("paper", "--role trading --live", False),
        ("paper", "--role trading", True),
    ],
)
def test_real_money_on_fly_takes_both_halves(mode: str, command: str, right: bool) -> None:
    fly = Path(__file__).parents[2] / "fly"
    text = {path.stem: path.read_text() for path in fly.glob("*.toml")}
    text["trading"] = (
        text["trading"]
        .replace('app = "--role trading"', f'app = "{command}"')
        .replace("[env]", f'[env]\nBETATRADER_MODE = "{mode}"')
    )
    found = configuration.wrong(configuration.Files("", text, (0, 0)), "v1")
    assert (found == []) is right, found


# secrets


def test_a_venues_keys_are_tradings_alone_and_needed_where_it_is_traded() -> None:
    key = "BETATRADER_BINANCE__KEY"
    bare, traded = (
        credentials.needs("trading", environment)
        for environment in ({}, {"BETATRADER_BINANCE__SYMBOLS": '["BTCUSDT"]'})
    )
    assert key in bare.optional
    assert key in traded.required
    for app in set(APPS) - {"trading"}:
        wanted = credentials.needs(app, {"BETATRADER_BINANCE__SYMBOLS": '["BTCUSDT"]'})
        assert key not in wanted.required | wanted.optional, app


def test_a_rotation_leaves_no_secret_of_the_old_key_beside_the_new_one() -> None:
    names = [f"BETATRADER_POLYMARKET__{n}" for n in ("API_KEY", "API_SECRET", "PRIVATE_KEY")]
    found = [AppSecret(name) for name in (*names, "REDIS_URL", "BETATRADER_BINANCE__KEY")]
    given = {names[2]: Secret("a new wallet's key")}
    with pytest.raises(RefusedError) as told:
        rotating.refuse_leftovers("polymarket", given, "betatrader-trading", found)
    assert f"betatrader-trading keeps {names[0]}, {names[1]} of the old key" in str(told.value)
    assert f"fly secrets unset {names[0]} {names[1]} --stage -a betatrader-trading" in str(
        told.value
    )
    every = {name: Secret("a new one's text") for name in names}
    rotating.refuse_leftovers("polymarket", every, "betatrader-trading", found)
    rotating.refuse_leftovers("polymarket", given, "betatrader-trading", found[2:])


def test_missing_extra_and_doubled_secrets_are_named_without_values() -> None:
    found = [AppSecret("REDIS_URL", "d1"), AppSecret("OTHER", "d1")]
    told = credentials.problems("trading", credentials.needs("trading", {}), found)
    assert told == [
        "trading: BETATRADER_CONTROL_TOKEN is missing",
        "trading: OTHER is set, and this app has no use for it",
        "trading: OTHER and REDIS_URL hold one and the same value",
    ]


def test_what_is_written_for_fly_is_read_back_whole() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nabc+/=\n-----END PRIVATE KEY-----"
    given = {"A": Secret("with # and 'quotes'"), "B": Secret(pem)}
    assert credentials.read(credentials.written(given).reveal()) == given
    assert credentials.read("# a comment\n\n C = \"x y\"\nD='z'\n") == {
        "C": Secret("x y"),
        "D": Secret("z"),
    }


@pytest.mark.parametrize("text", ["", "nonsense", "A B=c", 'A="""never ends\n'])
def test_lines_that_are_no_secrets_are_refused_unseen(text: str) -> None:
    with pytest.raises(UsageError) as told:
        credentials.read(text)
    assert "nonsense" not in str(told.value)


PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAw=\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize("start", ["KEY=", 'KEY="', "KEY='", ""])
def test_a_key_in_pem_over_several_lines_is_refused_with_how_to_write_it(start: str) -> None:
    with pytest.raises(UsageError) as told:
        credentials.read(f"A=b\n{start}{PEM}\n")
    assert str(told.value).startswith("line 2 begins a key in PEM that goes on in the next lines\n")
    assert 'between """ and """' in str(told.value)
    assert "one line with \\n where" in str(told.value)
    assert "MC4CAQAw" not in str(told.value)


def test_a_key_in_pem_is_read_in_both_ways_that_the_refusal_names() -> None:
    assert credentials.read(f'KEY="""{PEM}"""\nA=b\n') == {"KEY": Secret(PEM), "A": Secret("b")}
    line = PEM.replace("\n", "\\n")
    assert credentials.read(f"KEY={line}\n") == {"KEY": Secret(line)}


# lock and files


def test_a_lock_is_dead_where_it_has_long_been_silent_or_was_left() -> None:
    held = Held(
        id="a1", by="ann@x", host="elsewhere", pid=1, kind="deploy", image=IMAGE, step="intel: x"
    )
    assert not held.is_dead(14 * SECOND)
    assert held.is_dead(16 * SECOND)
    assert msgspec.structs.replace(held, left=True).is_dead(0)
    assert "a release was cut off" in str(refused(held, 16 * SECOND))
    assert "another release is under way" in str(refused(held, 14 * SECOND))
    assert "at intel: x" in str(refused(held, 14 * SECOND))


def test_a_tags_files_come_from_git_else_from_its_record_else_not_at_all(tmp_path: Path) -> None:
    kept = {path.stem: path.read_text() for path in sorted(FLY.glob("*.toml"))}
    record = Record(id="a", kind="deploy", image=str(image("v1")), files=kept, result="done")
    found = configuration.of_image(image("v1"), tmp_path, [record])
    assert found.text == kept
    with pytest.raises(UsageError, match="no fly files are known for v2"):
        configuration.of_image(image("v2"), tmp_path, [record])
    wrong = {**kept, "intel": "[processes]\napp = 'x'\n", "jobs": "nonsense"}
    record = msgspec.structs.replace(record, files=wrong)
    with pytest.raises(ConfigurationError) as told:
        configuration.of_image(image("v1"), tmp_path, [record])
    assert len(told.value.problems) == 2


MALFORMED = {
    "no TOML": (b"not toml [", "no valid TOML: "),
    "a value": (b"env = 5\n", "[env] is to be one table"),
    "several tables": (b"[[env]]\nA = '1'\n", "[env] is to be one table"),
    "no UTF-8": ("# f\xfcr den Handel\n".encode("latin-1"), "it is no UTF-8"),
    "a number too long": (b"a = " + b"1" * 5000, "no valid TOML: "),
    "too deep": (b"a = " + b"[" * 5000, "it is nested too deep"),
}


def versions(folder: Path, **texts: bytes) -> None:
    """A checkout with the tag v1, whose fly files are ours but for these."""
    shutil.copytree(FLY, folder / "fly")
    for role, text in texts.items():
        (folder / f"fly/{role}.toml").write_bytes(text)
    for words in (
        ["init", "-q", "-b", "trunk"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
        ["tag", "v1"],
    ):
        subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_of_a_role_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    text, why = MALFORMED[case]
    versions(tmp_path, trading=text)
    for kind in ("deploy", "rollback"):
        with pytest.raises(ConfigurationError) as refused:
            configuration.for_release(kind, image("v1"), tmp_path, [], lambda _line: None)
        (line,) = refused.value.problems
        assert line.startswith("fly/trading.toml at v1: ")
        assert why in line
    assert len(configuration.wrong_in(tmp_path / "fly")) == 1
    found = configuration.of_checkout(tmp_path)  # whose files nobody has looked at
    with pytest.raises(ConfigurationError, match=re.escape(why)):
        configuration.environment(found, "trading")


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_of_redis_which_no_release_deploys_stops_none(
    tmp_path: Path, case: str
) -> None:
    text, _ = MALFORMED[case]
    versions(tmp_path, redis=text)
    for kind in ("deploy", "rollback"):
        told: list[str] = []
        found = configuration.for_release(kind, image("v1"), tmp_path, [], told.append)
        assert told[0].startswith("by today's rules, and no reason to stop: fly at v1/redis.toml")
        assert configuration.environment(found, "redis") == {}
    configuration.write(found, tmp_path)
    assert (tmp_path / "redis.toml").read_bytes() == text


@pytest.mark.parametrize(
    ("done", "goes_to"),
    [
        ("1 2", "1"),
        ("1 2 3 2", "1"),
        ("1 2 1 3", "1"),
        ("1 2 2 3 3", "2"),
        ("1 2 3 2 1", ""),
        ("1", ""),
        ("", ""),
    ],
)
def test_going_back_again_leads_further_back_and_never_to_what_was_fled(
    done: str, goes_to: str
) -> None:
    images = done.split()
    records = [
        Record(id=str(n), kind="deploy", image=i, result="done") for n, i in enumerate(images)
    ]
    records.insert(0, Record(id="x", kind="deploy", image="0", result="rolled back"))
    now = images[-1] if images else ""
    if goes_to:
        assert planning.version_before(records, now) == goes_to
    else:
        with pytest.raises(RefusedError, match="Name the tag"):
            planning.version_before(records, now)


def test_what_cannot_read_the_stored_schema_is_refused_with_what_can() -> None:
    def done(tag: str, *reads: int) -> Record:
        kept = (reads[0], reads[1])
        return Record(id=tag, kind="deploy", image=str(image(tag)), result="done", reads=kept)

    records = [done("v1", 1, 1), done("v2", 1, 2), done("v3", 1, 2), done("v2", 1, 2)]
    schemas.check_readable(str(image("v3")), 2, (0, 0), records)
    schemas.check_readable(str(image("v9")), 2, (2, 3), records)
    for known, told in (
        (
            records,
            "v1 reads schemas 1 to 1, and schema 2 is stored\n"
            "Versions on record that read it: v2, v3.",
        ),
        (records[:1], "No version on record reads it: the way on is a release of one that does."),
    ):
        with pytest.raises(RefusedError) as refusal:
            schemas.check_readable(str(image("v1")), 2, (1, 1), known)
        assert told in str(refusal.value)
    with pytest.raises(RefusedError, match="nobody knows which schemas v9 reads"):
        schemas.check_readable(str(image("v9")), 2, (0, 0), records)


def test_a_revision_says_which_schemas_it_reads(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path)]
    (tmp_path / "betatrader/model").mkdir(parents=True)
    shutil.copytree(FLY, tmp_path / "fly")
    (tmp_path / "betatrader/model/event.py").write_text("SCHEMA_VERSION = 3\n")
    for words in (
        ["init", "-q", "-b", "trunk"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
        ["tag", "v7"],
    ):
        subprocess.run([*git, *words], check=True, capture_output=True)
    found = configuration.of_image(image("v7"), tmp_path, [])
    assert found.reads == (2, 3)
    assert configuration.of_image(image(f"sha-{found.revision[:8]}"), tmp_path, []) == found
    for branch in ("main", "deadbeef", "sha-deadbeef"):
        subprocess.run([*git, "branch", "-f", branch.removeprefix("sha-")], check=True)
        with pytest.raises(UsageError, match="no fly files are known"):
            configuration.of_image(image(branch), tmp_path, [])
