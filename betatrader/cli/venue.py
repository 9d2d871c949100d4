"""`venue`: exchange simulators that speak a venue's protocol."""

import click

from betatrader.cli.output import Finite

SHARE, SKEW = Finite(0, 1), Finite(-86_400, 86_400)


@click.group()
def venue() -> None:
    """Serve a simulated venue, to trade against or to test with.

    Example: betatrader venue serve sim --port 8800
    """


@venue.command()
@click.argument("name", type=click.Choice(["sim", "binance", "polymarket"]))
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="0: any that is free.")
@click.option("--config", "config_path", metavar="FILE", help="Its [feed] and [paper] are used.")
@click.option("--seed", type=click.IntRange(0), help="Of the market and of the faults.")
@click.option("--lost", type=SHARE, default=0.0, help="Share of answers and reports lost.")
@click.option("--late", type=SHARE, default=0.0, help="Share that comes up to half a second late.")
@click.option("--twice", type=SHARE, default=0.0, help="Share that comes twice.")
@click.option(
    "--unknown", type=SHARE, default=0.0, help="Share of questions blind to the last 2 s' orders."
)
@click.option("--down-orders", type=SHARE, default=0.0, help="Share of orders refused, or unheard.")
@click.option("--down-cancels", type=SHARE, default=0.0, help="The same of cancels.")
@click.option("--down-queries", type=SHARE, default=0.0, help="The same of questions.")
@click.option("--limited-orders", type=SHARE, default=0.0, help="Share of orders over the rate.")
@click.option("--limited-cancels", type=SHARE, default=0.0, help="The same of cancels.")
@click.option("--limited-queries", type=SHARE, default=0.0, help="The same of questions.")
@click.option("--ahead-s", type=SKEW, default=0.0, help="Seconds its clock is ahead (- behind).")
def serve(
    name: str,
    port: int,
    config_path: str | None,
    seed: int | None,
    **shares: float,
) -> None:
    """Serve a simulated venue on loopback until Ctrl-C; one JSON line has its addresses and keys.

    `binance` and `polymarket` speak those venues' own HTTP and WebSocket protocols, so that any
    client of theirs works once its base URL is changed; `up --venue binance-sim` starts one by
    itself. `sim` is the reference venue: msgpack over TCP, for BETATRADER_PAPER__LINK=HOST:PORT.

    Each fails as the options say. What else befalls a real venue is done on request, at the address
    that the line calls `stage`: binance takes cut, deposit, freeze, key, mode, region, restart,
    rules, show, shutdown, status, trade and unsubscribe; polymarket takes cut, deposit, key, mode,
    region, restart, rules, show and status (docs/venues.md says with what).

    \b
    Examples:
      betatrader venue serve sim --port 8800
      betatrader venue serve binance --port 8801
      betatrader venue serve sim --lost 0.05 --late 0.1 --twice 0.1 --unknown 0.2
      betatrader venue serve binance --down-queries 1 --limited-cancels 0.5 --ahead-s -30
      curl -X POST 'http://127.0.0.1:8801/-/act?do=mode&mode=cancel-only'
    """
    from pathlib import Path

    import msgspec

    from betatrader.config import find_file, load
    from betatrader.ops.home import default_home
    from betatrader.roles.serving import run
    from betatrader.sim.faults import Faults

    path = find_file(config_path, default_home())
    config = load(Path(path) if path is not None else None).config
    if seed is not None:
        feed = msgspec.structs.replace(config.feed, seed=seed)
        config = msgspec.structs.replace(config, feed=feed)
    run(name, config, port, Faults(**shares), lambda line: click.echo(line))
