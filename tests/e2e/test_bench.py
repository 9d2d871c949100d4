"""`betatrader bench --json`: one document on stdout, whatever is logged meanwhile."""

import json
import subprocess
import sys

SHORT = """
from betatrader.bench import wire_polymarket
from betatrader.cli import bench, main
wire_polymarket.EVENTS, wire_polymarket.DECISIONS, wire_polymarket.SIGNED = 300, 30, 40
bench.BENCHMARKS["wire"] = wire_polymarket.run
main.main()
"""


def test_stdout_holds_the_document_and_logs_go_to_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHORT, "bench", "wire", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    results = {one["name"]: one for one in json.loads(done.stdout)["results"]}
    decisions = int(results["wire_polymarket_p50_us"]["note"].split()[0])
    assert decisions >= 30, "the tape is played again until there are enough"
    for share in ("p50", "p99", "p999"):
        one = results[f"wire_polymarket_order_{share}_us"]
        assert one["ratio"] == one["value"] / one["baseline"]
    logged = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {line["role"] for line in logged} == {"bench"}, "the adapter does log here"
