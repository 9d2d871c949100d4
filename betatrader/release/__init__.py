"""Putting a version on fly.io and taking it back: three apps, one image, a gate after each.

fly_files        reads the fly configurations, and says everything that is wrong with them
fly_files_keys   every key that fly knows, and what it may hold
fly_files_rules  what we ask of them besides: drain, lease, secrets, ports
apps           the apps, their order, image references
fly            the `fly` command: what is asked, what its answers mean
gates          what must hold after each app before the next is touched
configuration  the fly files of the very version that is released
settings       what its roles read at their start, read before anything changes
record         who released what, when, with which result; the lock
releasing      app by app, a gate after each, back where one fails
schemas        which schema is stored, which versions read it, and raising it
rights         what a version may do in Redis, and what the server that runs lets it
planning       what would be done, and every reason not to begin
standing       where a release stands, and its whole way
credentials    which app needs which secret
keeping        secrets as they stand at fly, and setting them
rotating       a venue's new key: proven, staged, switched to
prices         what fly asks, with the date of the table
cost           the monthly bill of a plan, and of three sizes
pricing        the same as `release cost` shows it
"""
