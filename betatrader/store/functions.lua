#!lua name=betatrader_VERSION

-- Stream ids are two whole numbers; as Lua numbers they would lose digits, so they are compared
-- as text, by length and then by letters.
local function half_less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function id_less(a, b)
  local a1, a2 = string.match(a, '^(%d+)-?(%d*)$')
  local b1, b2 = string.match(b, '^(%d+)-?(%d*)$')
  if a1 ~= b1 then return half_less(a1, b1) end
  return half_less(a2 == '' and '0' or a2, b2 == '' and '0' or b2)
end

local function fields(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end

-- Trim entries older than ARGV[1] (an id), but never one that a group has not read or has read and
-- not acknowledged. ARGV[2..]: groups that must exist, else nothing is trimmed.
local function trim(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  local floor, there = args[1], {}
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', keys[1])) do
    local group = fields(flat)
    there[group['name']] = true
    local low = group['last-delivered-id']
    if tonumber(group['pending']) > 0 then
      low = redis.call('XPENDING', keys[1], group['name'])[2]
    end
    if id_less(low, floor) then floor = low end
  end
  for i = 2, #args do
    if not there[args[i]] then return 0 end
  end
  return redis.call('XTRIM', keys[1], 'MINID', floor)
end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function text(n) return string.format('%.0f', n) end

-- Claim one slot of a job: exactly one claimant starts it, and takes over where the lease of a
-- claimant that vanished has ended. KEYS: state, history. ARGV: slot ms, holder, lease ms, tries.
local function claim(keys, args)
  local slot, now = tonumber(args[1]), now_ms()
  local s = fields(redis.call('HGETALL', keys[1]))
  local last = tonumber(s['slot'] or '-1')
  local running = s['status'] == 'running' and tonumber(s['until'] or '0') > now
  if slot < last then return {'past', '0'} end
  if running then return {slot == last and 'running' or 'overlap', '0'} end
  local attempt = 1
  if slot == last then
    if s['status'] == 'done' then return {'done', '0'} end
    attempt = tonumber(s['attempt'] or '0') + 1
    if attempt > tonumber(args[4]) then return {'dead', '0'} end
  end
  local run = tonumber(s['run'] or '0') + 1
  redis.call('HSET', keys[1], 'slot', args[1], 'status', 'running', 'until', text(now + args[3]),
    'attempt', text(attempt), 'run', text(run), 'holder', args[2], 'started', text(now))
  return {'run', text(run)}
end

-- Finish a run, if it is still the current one. KEYS: state, history. ARGV: run, status, note.
local function finish(keys, args)
  local s = fields(redis.call('HGETALL', keys[1]))
  if s['run'] ~= args[1] or s['status'] ~= 'running' then return 0 end
  local now = now_ms()
  redis.call('HSET', keys[1], 'status', args[2], 'until', '0', 'finished', text(now), 'note', args[3])
  redis.call('XADD', keys[2], 'MAXLEN', '~', '500', '*', 'run', args[1], 'slot', s['slot'],
    'status', args[2], 'started', s['started'], 'finished', text(now), 'note', args[3])
  return 1
end

-- Take the trading lease. The epoch is its fencing token and only grows: past the counter, past what
-- the caller knows (a failover may have lost the last write) and past the clock (all may be lost).
-- KEYS: lease, counter. ARGV: holder, ttl ms, known epoch.
local function lease_acquire(keys, args)
  local now, lease = now_ms(), fields(redis.call('HGETALL', keys[1]))
  local left = tonumber(lease['until'] or '0') - now
  if lease['holder'] and lease['holder'] ~= args[1] and left > 0 then
    return {'held', lease['epoch'], text(left)}
  end
  local epoch = math.max(tonumber(redis.call('GET', keys[2]) or '0'), tonumber(lease['epoch'] or '0'),
    tonumber(args[3]), now - 1) + 1
  redis.call('SET', keys[2], text(epoch))
  redis.call('HSET', keys[1], 'holder', args[1], 'epoch', text(epoch), 'until', text(now + args[2]))
  return {'taken', text(epoch), args[2]}
end

-- Renew it: 1 done, 0 somebody else's, -1 over. KEYS: lease. ARGV: holder, epoch, ttl ms.
local function lease_renew(keys, args)
  local now, lease = now_ms(), fields(redis.call('HGETALL', keys[1]))
  if not lease['holder'] then return -1 end
  if lease['holder'] ~= args[1] or lease['epoch'] ~= args[2] then return 0 end
  if tonumber(lease['until']) <= now then return -1 end
  redis.call('HSET', keys[1], 'until', text(now + args[3]))
  return 1
end

-- Give it back; the epoch stays. KEYS: lease. ARGV: holder, epoch.
local function lease_release(keys, args)
  local lease = fields(redis.call('HGETALL', keys[1]))
  if lease['holder'] ~= args[1] or lease['epoch'] ~= args[2] then return 0 end
  redis.call('HSET', keys[1], 'until', '0')
  return 1
end

-- Whether two names to trade may mean one instrument; `*` at an end: all that begins so.
local function meet(a, b)
  if a == b then return true end
  if string.sub(a, -1) ~= '*' or string.sub(b, -1) ~= '*' then return false end
  local size = math.min(#a, #b) - 1
  return string.sub(a, 1, size) == string.sub(b, 1, size)
end

-- Take a share of an account's limits, in place of the one before, if all then have the whole or
-- less and nothing is traded twice. KEYS: shares. ARGV: database, units, the most, "keep" or
-- "look", the limits that are shared, names to trade.
local function share(keys, args)
  local sum, text = tonumber(args[2]), args[2]
  for i = 5, #args do text = text .. ' ' .. args[i] end
  for database, theirs in pairs(fields(redis.call('HGETALL', keys[1]))) do
    if database ~= args[1] then
      sum = sum + tonumber(string.match(theirs, '^%d+'))
      for name in string.gmatch(theirs, ' ([^ ]+)') do
        for i = 6, #args do
          if meet(name, args[i]) then return {'double', database} end
        end
      end
    end
  end
  if sum > tonumber(args[3]) then return {'over', ''} end
  if args[4] == 'keep' then redis.call('HSET', keys[1], args[1], text) end
  return {'fits', ''}
end

-- The epoch and number of the last entry that a fenced stream was given, or may not go below.
local function top(stream)
  if redis.call('EXISTS', stream) == 0 then return 0, 0 end
  local id = fields(redis.call('XINFO', 'STREAM', stream))['last-generated-id']
  local epoch, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(number)
end

-- Let the server refuse each id below this epoch's.
local function bar(stream, epoch)
  local id = epoch .. '-0'
  if redis.call('EXISTS', stream) == 1 then
    redis.call('XSETID', stream, id)
  else
    redis.call('XADD', stream, id, 'd', '')
    redis.call('XDEL', stream, id)
  end
end

-- Append to the shipped journal, whose ids are epoch-number. Who has an older epoch than the last
-- writer is refused; entries are numbered from 1 in each epoch, what is there already is skipped,
-- and a gap is refused: this server has lost something, and a snapshot must come first. A snapshot
-- fills any gap, and what is older than the snapshot before it is trimmed. A writer that has had
-- "done" may XADD its next entry by itself: the id alone fences it, and tells a repeat.
-- The answer is the last number there, as a plain integer: an order waits for it.
-- KEYS: stream, fence. ARGV: "epoch, number of the first entry, whole or records", entries.
local function ship(keys, args)
  local asked, number, kind = string.match(args[1], '^(%d+) (%d+) (%a+)$')
  local epoch, first, whole = tonumber(asked), tonumber(number), kind == 'whole'
  local fence = redis.call('HGET', keys[2], 'epoch')
  local writer, at = top(keys[1])
  local last = math.max(tonumber(fence or '0'), writer)
  if epoch < last then return {'fenced', text(last)} end
  if epoch > writer then
    bar(keys[1], asked)
    at = 0
  end
  if fence ~= asked then redis.call('HSET', keys[2], 'epoch', asked) end
  if #args < 2 then return at end
  if first > at + 1 and not whole then return {'gap', text(at)} end
  for i = 2, #args do
    local number = first + i - 2
    if number > at then
      local id = redis.call('XADD', keys[1], asked .. '-' .. text(number), 'd', args[i])
      if whole and i == 2 then
        local before = redis.call('HGET', keys[2], 'whole')
        if before then redis.call('XTRIM', keys[1], 'MINID', before) end
        redis.call('HSET', keys[2], 'whole', id)
      end
      at = number
    end
  end
  return at
end

redis.register_function{function_name='bt_ship_VERSION', callback=ship}
redis.register_function{function_name='bt_fence_VERSION', callback=ship, flags={'allow-oom'}}
redis.register_function{function_name='bt_lease_acquire_VERSION', callback=lease_acquire, flags={'allow-oom'}}
redis.register_function{function_name='bt_lease_renew_VERSION', callback=lease_renew, flags={'allow-oom'}}
redis.register_function{function_name='bt_lease_release_VERSION', callback=lease_release, flags={'allow-oom'}}
redis.register_function{function_name='bt_share_VERSION', callback=share, flags={'allow-oom'}}
redis.register_function{function_name='bt_trim_VERSION', callback=trim, flags={'allow-oom'}}
redis.register_function{function_name='bt_claim_VERSION', callback=claim, flags={'allow-oom'}}
redis.register_function{function_name='bt_finish_VERSION', callback=finish, flags={'allow-oom'}}
