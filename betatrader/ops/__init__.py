"""What every role shows, and what keeps processes alive.

logs            JSON lines on stderr: role, version, instance, trace
redaction       takes secrets out of what is logged or posted
clock           the wall clock in ns, in one place
metrics         every metric of ours, by name
health          /livez, /readyz and /metrics over HTTP
door            port and token by which a command reaches the trader without Redis; who guesses
http            one small request, without a library
probe           asks a health endpoint
home            where a run lives: its home, its folder of sockets, runtime.json
files           files that appear whole, locks that end with their process
mapped_file     a file that grows through mapped memory
author          who acts, where the system knows a name and where not
build           which build this is
process         a process and its parent: end with it, start time, resident memory
embedded_redis  the bundled server: start, lock, stop
supervision     child processes, restarted with backoff
owners          which secret is which role's, and the environment that a process gets
webhook         alerts, posted as JSON; never waited for
deadman         pings an outside service, which cries when nothing of ours runs any more
watchdog        ends a process whose event loop has stopped
"""
