"""Every key that we keep in Redis. `{…}` is the cluster's hash tag: one slot an aggregate. What one
function or transaction touches shares a tag. `acl.py` gives each role its own of these alone.

| key | kind | written by | read by | bound |
|---|---|---|---|---|
| bt:{lease:trading}:l, :e | hash, string | trading | trading, command line | one |
| bt:{trading}:journal | stream | trading | trading, taking over | two snapshots, what followed |
| bt:{trading}:live, :live-fence | stream, hash | trading, live | trading, taking over | as above |
| bt:{paper}:ledger, :fence | stream, hash | paper venue, if shipped | paper venue | as above |
| bt:{trading}:fence | hash | trading | trading | one |
| bt:{trading}:run | string | trading | command line, jobs | one |
| bt:{trading}:ladder | hash | trading, command line, if shipped | both | one |
| bt:{trading}:kept | hash | trading | trading at its next start | one |
| bt:{trading}:RUN:audit | stream | trading | command line, jobs | by age, 200,000 entries |
| bt:{trading}:RUN:signals | stream | intel | trading (group) | upkeep, what is read |
| bt:{trading}:RUN:instructions | stream | command line | trading (group) | upkeep, what is read |
| bt:{trading}:RUN:summary | string | trading | command line, jobs | one |
| bt:{intel}:requests | stream | trading | intel (group) | upkeep, what is read |
| bt:{role:NAME}:beat | hash, expires | each role | command line, supervisor | one a role |
| bt:{shares}:MODE, :ACCOUNT | hash, in database 0 | trading | both | a field a trader |
| bt:{release}:lock | string | release | release | one |
| bt:{release}:schema | string | release | release, each role | one |
| bt:{release}:records | stream | release | release | 400 entries |
| bt:{job:NAME}:state, :history | hash, stream | jobs | command line | 500 entries |
| STREAM:dead | stream | the consumer | a person | 1,000 entries |
"""

TRADING = "bt:{trading}"
LEASE = "bt:{lease:trading}:l"
LEASE_EPOCH = "bt:{lease:trading}:e"
JOURNAL = "bt:{trading}:journal"
FENCE = "bt:{trading}:fence"
LIVE_JOURNAL = "bt:{trading}:live"
LIVE_FENCE = "bt:{trading}:live-fence"
PAPER_LEDGER = "bt:{paper}:ledger"
PAPER_FENCE = "bt:{paper}:fence"
RUN = "bt:{trading}:run"
LADDER = "bt:{trading}:ladder"
KEPT = "bt:{trading}:kept"
REQUESTS = "bt:{intel}:requests"
SHARES = "bt:{shares}:"
RELEASE_LOCK = "bt:{release}:lock"
RELEASES = "bt:{release}:records"
RELEASE_SCHEMA = "bt:{release}:schema"
TRADING_GROUP = "trading"
INTEL_GROUP = "intel"


def audit(run: str) -> str:
    """All that a replica folds: account events, listings, forecasts, instructions and Steps."""
    return f"bt:{{trading}}:{run}:audit"


def signals(run: str) -> str:
    """Forecasts for the trader."""
    return f"bt:{{trading}}:{run}:signals"


def instructions(run: str) -> str:
    """What the operator orders."""
    return f"bt:{{trading}}:{run}:instructions"


def summary(run: str) -> str:
    """The trader's account in a few lines, renewed about twice a second."""
    return f"bt:{{trading}}:{run}:summary"


def run_of(key: str) -> str:
    """The run that a key belongs to; "" where it is of none."""
    parts = key.split(":")
    return parts[2] if key.startswith(f"{TRADING}:") and len(parts) > 3 else ""


def shares(mode: str, account: str) -> str:
    """The shares of an account's limits, by trader; in database 0 for those of all databases."""
    return f"{SHARES}{mode}{f':{account}' if account else ''}"


def beat(role: str) -> str:
    """A role's sign of life; it expires."""
    return f"bt:{{role:{role}}}:beat"


def job_state(name: str) -> str:
    """What is known of a job's last slot."""
    return f"bt:{{job:{name}}}:state"


def job_history(name: str) -> str:
    """A job's last runs."""
    return f"bt:{{job:{name}}}:history"


def dead(stream: str) -> str:
    """Where messages go that cannot be used."""
    return f"{stream}:dead"
