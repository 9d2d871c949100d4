"""What joins the roles, and what outlives them.

connection  the one factory of Redis clients
keys        every key and stream name, and who reads it
acl         a Redis user a role, with the rights that it needs
schema      which schema is written, by what a release has confirmed, and which are read
bus         typed streams: envelopes, consumer groups, dead letters
audit       the trader's way out: audit records, requests, summary
functions   the server-side functions, each version's own: lease, shipping, shares, trimming, jobs
shipping    the journal's second home, a Redis stream
shares      which part of an account's limits each of its traders has
lease       who may write: one trader, with a fencing token that only grows
journal     every event and every answer on disk, framed and chained
journal_reader  reads it back, and tells a crash's torn tail from damage
records     the audit records of a run, live and after its end
segment     recorded market data in our compact format (msgpack, zstandard)
"""
