"""Chores: small, idempotent, on a schedule, caught up after downtime.

schedule       when each job is due, exactly one run of each slot across machines, history
pnl_report     profit and loss as JSON and Markdown
leader_watch   tells when nobody leads any more
stream_upkeep  trims streams, never what a consumer has not read
"""
