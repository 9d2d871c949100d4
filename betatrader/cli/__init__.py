"""The command line: thin, with heavy imports inside commands, so that each starts fast.

main         the program, `--role`, and where errors become an exit status
running      up, demo
live         the view of a run in the terminal
ladder       live status, allow: the ladder to real money
control      halt, reduce, resume, cancel-all, flatten, limits confirm
direct       the same without Redis, to the trader's /control
show         status, orders, fills, positions, signals, events, limits
sharing      limits shares: each trader's part of its account's
status       what status gathers
past         what is known of a run, live or ended
sentences    records in sentences and in fields
template    the file that `config init` writes
configuring  config init, check, show
diagnosis    doctor
setup        from keys to a proven connection
data         data record, import, list, show
journal      journal verify, show; replay; explain
jobs         jobs list, run, history
models       models list, train
simulate     the whole trader under seeded faults
venue        venue serve
bench        the benchmarks
release      release plan, deploy, rollback, status, check, cost, secrets
over_fly     what each command over `fly` takes, and how it runs
output       tables, JSON, durations
"""
