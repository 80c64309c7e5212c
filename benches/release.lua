-- What `wrk` sends: releases, each of an escrow that nobody sent before. TOKEN and NONCE come by environment.

local threads = 0

function setup(thread)
  thread:set("place", threads)
  threads = threads + 1
end

function init()
  sent = 0
  headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. os.getenv("TOKEN"),
  }
  middle = string.format("%st%dn", os.getenv("NONCE"), place)
end

function request()
  sent = sent + 1
  -- Amounts of all sizes, so that the split has something left to give.
  local amount = 100 + (sent * 7919) % 1000003
  -- Escrows come in no order, as those of the world do: their index is not written at its end only. An odd factor: of
  -- 2^32 no two are alike, and a double holds the product of the first three million exactly.
  local scattered = (sent * 2654435761) % 4294967296
  local body = string.format(
    '{"escrowId":"esc_%08x%s%d","projectId":"prj_bench","milestoneId":"ms_1","amount":%d,"currency":"USD"}',
    scattered, middle, sent, amount)
  return wrk.format("POST", nil, headers, body)
end

-- What is not 2xx or 3xx is counted by wrk itself: a function that sees answers would cost as much as sending.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "RESULT requests=%d micros=%d p50=%d p99=%d status=%d connect=%d read=%d write=%d timeout=%d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
