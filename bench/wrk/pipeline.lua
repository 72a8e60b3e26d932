-- Sixteen requests in one write: wrk -t1 -c32 -d3s -s bench/wrk/pipeline.lua URL
local depth = 16

init = function()
  local one = wrk.format("GET", wrk.path)
  all = string.rep(one, depth)
end

request = function()
  return all
end
