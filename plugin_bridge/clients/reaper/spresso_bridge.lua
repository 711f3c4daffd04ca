-- How the REAPER actions find the bridge and ask it for sounds. Not an action itself.
--
-- Requests go through curl, because ReaScript has no network. Everything that curl needs stands in configuration
-- files, so the command line is only `curl -q -K FILE -K FILE`: no quoting that differs between systems, and no token
-- in the list of processes. The token itself never gets here: curl reads it from the file that the bridge keeps for
-- its owner alone. Written for Lua 5.3 (REAPER 6) and 5.4 (REAPER 7).

local bridge = {}

local SECTION = "spresso"
local START = "Start it in a terminal with:\n\n    spresso serve"
local QUICK_S, SLOW_S = 10, 600
bridge.DEFAULTS = { profile = "", quality = "default", bits = "24", rate = "", takes = "no", curl = "" }

local windows = reaper.GetOS():find("^Win") ~= nil
local separator = windows and "\\" or "/"
local folder = reaper.GetResourcePath() .. separator .. "Data" .. separator .. "spresso"

-- Settings -------------------------------------------------------------------------------------------------------

--- A setting as text, or its default.
function bridge.setting(name)
  local value = reaper.GetExtState(SECTION, name)
  if value == "" then return bridge.DEFAULTS[name] end
  return value
end

--- Keep a setting for the next start of REAPER too.
function bridge.set(name, value)
  reaper.SetExtState(SECTION, name, value, true)
end

-- Text -----------------------------------------------------------------------------------------------------------

local function percent(text)
  return (text:gsub("[^%w%-%._~]", function(char) return string.format("%%%02X", char:byte()) end))
end

local function query_of(fields)
  local parts = {}
  for name, value in pairs(fields) do
    if value ~= nil and value ~= "" then parts[#parts + 1] = name .. "=" .. percent(tostring(value)) end
  end
  table.sort(parts)
  return #parts == 0 and "" or "?" .. table.concat(parts, "&")
end

local function quoted(text)
  local short = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
  local body = text:gsub('[%c\\"]', function(char) return short[char] or string.format("\\u%04x", char:byte()) end)
  return '"' .. body .. '"'
end

--- The text of the first "key" of a JSON document, nil without one. Quotes inside of JSON texts are escaped, so
--- `"key":` can only be a key; that saves a parser.
local function json_text(document, key)
  local _, start = document:find('"' .. key .. '"%s*:%s*"')
  if not start then return nil end
  local short = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
  local out, at = {}, start + 1
  while true do
    local plain, stop = document:match('^([^"\\]*)()', at)
    out[#out + 1] = plain
    if document:sub(stop, stop) ~= "\\" then return table.concat(out) end
    local escape = document:sub(stop + 1, stop + 1)
    at = stop + 2
    if escape == "u" then
      local code = tonumber(document:sub(at, at + 3), 16) or 0xFFFD
      at = at + 4
      local low = code >= 0xD800 and code < 0xDC00 and document:match("^\\u(%x%x%x%x)", at)
      if low then
        code = 0x10000 + (code - 0xD800) * 0x400 + (tonumber(low, 16) - 0xDC00)
        at = at + 6
      end
      out[#out + 1] = utf8.char(code)
    else
      out[#out + 1] = short[escape] or escape
    end
  end
end

local function json_number(document, key)
  return tonumber(document:match('"' .. key .. '"%s*:%s*(%-?%d+)'))
end

local function split(line)
  local cells = {}
  for cell in (line .. "\t"):gmatch("([^\t]*)\t") do cells[#cells + 1] = cell end
  return cells
end

-- Files ----------------------------------------------------------------------------------------------------------

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

local function size_of(path)
  local file = io.open(path, "rb")
  if not file then return 0 end
  local size = file:seek("end")
  file:close()
  return size
end

local function write(path, text)
  local file = io.open(path, "wb")
  if not file then return false end
  file:write(text)
  file:close()
  return true
end

--- A file in the folder of the actions.
function bridge.file(name)
  return folder .. separator .. name
end

--- The files by which a running bridge is found, without their endings.
local function discovery()
  local named = os.getenv("SPRESSO_BRIDGE")
  if named and named ~= "" then return (named:gsub("%.[^./\\]*$", "")) end
  if windows then return (os.getenv("LOCALAPPDATA") or "") .. "\\spresso\\bridge" end
  local home = os.getenv("HOME") or ""
  if reaper.GetOS():find("OSX") or reaper.GetOS():find("macOS") then
    return home .. "/Library/Application Support/spresso/bridge"
  end
  local state = os.getenv("XDG_STATE_HOME")
  if not state or state == "" then state = home .. "/.local/state" end
  return state .. "/spresso/bridge"
end

local function curl_program()
  local named = bridge.setting("curl")
  if named ~= "" then return named end
  if not windows and read("/usr/bin/curl") then return "/usr/bin/curl" end
  return "curl"
end

-- Requests -------------------------------------------------------------------------------------------------------

--- Begin a request. `wish`: name (of its files), path, query, body (JSON text), to (a file for the answer), seconds.
--- Returns a request for `bridge.finish`, or nil and what is wrong.
local function begin(wish, wait)
  local port = (read(discovery() .. ".txt") or ""):match("^(%d+) ")
  if not port then return nil, "The spresso bridge is not running.\n\n" .. START end
  reaper.RecursiveCreateDirectory(folder, 0)
  local request = {
    to = wish.to or bridge.file(wish.name .. ".txt"),
    head = bridge.file(wish.name .. ".head"),
    trouble = bridge.file(wish.name .. ".trouble"),
    seconds = wish.seconds or QUICK_S,
    since = reaper.time_precise(),
  }
  for _, file in ipairs({ request.to, request.head, request.trouble }) do os.remove(file) end
  local lines = {
    "url = " .. quoted("http://127.0.0.1:" .. port .. wish.path .. query_of(wish.query or {})),
    "output = " .. quoted(request.to),
    -- What happened goes to files: a request that nobody waits for has no other place.
    "dump-header = " .. quoted(request.head),
    "stderr = " .. quoted(request.trouble),
    "silent",
    "show-error",
    'noproxy = "*"',
    "max-time = " .. request.seconds,
  }
  if wish.body then
    lines[#lines + 1] = 'header = "Content-Type: application/json"'
    lines[#lines + 1] = "data-binary = " .. quoted(wish.body)
  end
  local config = bridge.file(wish.name .. ".conf")
  if not write(config, table.concat(lines, "\n") .. "\n") then return nil, "Cannot write into " .. folder .. "." end
  -- -q: what stands in the user's own .curlrc is not for us.
  local command = string.format('%s -q -K "%s" -K "%s"', curl_program(), discovery() .. ".curl", config)
  if not reaper.ExecProcess(command, wait and (request.seconds + 5) * 1000 or -1) and wait then
    return nil, "REAPER could not start curl.\n\nInstall it, or name it in the action \"spresso: settings\"."
  end
  return request
end

--- Whether a request is over, and if so its answer: `done, text, problem`. A problem is {message, status, code}. An
--- answer that nobody waited for (`over` is not true) is whole when it is as long as the bridge said before; its text
--- is true then, the file itself is what was asked for.
function bridge.finish(request, over)
  local head = read(request.head) or ""
  local status = tonumber(head:match(".*HTTP/[%d.]+ (%d+)"))
  local failed = (read(request.trouble) or ""):match("curl: %((%d+)%)")
  local length = tonumber(head:lower():match("\ncontent%-length: (%d+)"))
  if not failed and not over and not (status and length == size_of(request.to)) then
    if reaper.time_precise() - request.since < request.seconds + 5 then return false end
    failed = "28"
  end
  if status and status >= 300 then
    local text = read(request.to) or ""
    local message = json_text(text, "detail") or ("The bridge answered " .. status .. ".")
    local hint = json_text(text, "hint")
    if hint and hint ~= "" then message = message .. "\n\n" .. hint end
    return true, nil, { message = message, status = status, code = json_text(text, "code") }
  end
  if failed == "28" then return true, nil, { message = "The bridge did not answer in time.\n\nTry again." } end
  if not status then
    return true, nil, { message = "The spresso bridge is not running (it left without a word).\n\n" .. START }
  end
  if failed then return true, nil, { message = "The sound ended too early: its decode failed.\n\nTry again." } end
  return true, over and read(request.to) or true
end

--- Whether the bridge has a request already; until then a later one could overtake it.
function bridge.reached(request)
  return size_of(request.head) > 0
end

local function ask(wish)
  local request, why = begin(wish, true)
  if not request then return nil, { message = why } end
  local _, text, problem = bridge.finish(request, true)
  return text, problem
end

--- Sounds that answer to words: a list of rows {id, name, duration_s, channels, category, ...}, or nil and a problem.
function bridge.search(words, limit)
  local text, problem = ask({
    name = "search",
    path = "/v1/search",
    query = { q = words, limit = limit, format = "tsv" },
  })
  if not text then return nil, problem end
  local columns, rows = nil, {}
  for line in text:gmatch("[^\r\n]+") do
    local cells = split(line)
    if not columns then
      columns = cells
    else
      local row = {}
      for n, column in ipairs(columns) do row[column] = cells[n] or "" end
      rows[#rows + 1] = row
    end
  end
  return rows
end

--- What is asked for beside the sound itself, from the settings.
local function take_of(wish)
  return {
    profile = wish.profile or bridge.setting("profile"),
    q = bridge.setting("quality"),
    rate = tonumber(bridge.setting("rate")),
    seed = wish.seed,
    variation = wish.variation,
  }
end

--- Begin to fetch a take without waiting, into `request.to`. A newer audition stops an older one in the bridge; each has
--- files of its own, `number`, for the older one may still write into its own.
function bridge.audition(wish, number)
  local query = take_of(wish)
  query.bits = "24"
  query.group = "reaper"
  return begin({
    name = "audition-" .. number,
    path = "/v1/sounds/" .. percent(wish.id) .. "/audio.wav",
    query = query,
    to = bridge.file("audition-" .. number .. ".wav"),
    seconds = SLOW_S,
  }, false)
end

--- A real file of a take in `into`: {path, seed, profile}, or nil and a problem.
function bridge.place(wish, into)
  local parts = { '"id": ' .. quoted(wish.id), '"bits": ' .. quoted(bridge.setting("bits")) }
  for name, value in pairs(take_of(wish)) do
    if value ~= "" then
      parts[#parts + 1] = quoted(name) .. ": " .. (type(value) == "number" and string.format("%d", value) or quoted(value))
    end
  end
  local body = '{"items": [{' .. table.concat(parts, ", ") .. '}], "dir": ' .. quoted(into) .. "}"
  local text, problem = ask({ name = "place", path = "/v1/place", body = body, seconds = SLOW_S })
  if problem and problem.status == 403 then
    problem.message = problem.message
      .. '\n\nTo let the bridge write into this project, run once in a terminal:\n\n    spresso bridge allow "'
      .. into
      .. '"'
  end
  if not text then return nil, problem end
  local placed = {
    path = json_text(text, "path"),
    seed = json_number(text, "seed"),
    profile = json_text(text, "profile"),
  }
  if not placed.path then return nil, { message = "The bridge placed nothing." } end
  return placed
end

-- The project ----------------------------------------------------------------------------------------------------

--- Say what went wrong and what to do.
function bridge.complain(problem)
  reaper.ShowMessageBox(problem.message, "spresso", 0)
end

--- The media folder of the project, or nil and a problem: a project that was never saved has none of its own.
function bridge.media_folder()
  local _, project = reaper.EnumProjects(-1)
  if not project or project == "" then
    return nil, { message = "This project has no folder yet.\n\nSave it, then its media folder takes the sounds." }
  end
  return reaper.GetProjectPath("")
end

local function name_of(path)
  return path:match("([^/\\]+)%.[^.]*$") or path
end

--- Remember in the take what it is, so that it can be rolled again after years.
function bridge.tag(take, id, placed)
  reaper.GetSetMediaItemTakeInfo_String(take, "P_NAME", name_of(placed.path), true)
  reaper.GetSetMediaItemTakeInfo_String(take, "P_EXT:spresso_id", id, true)
  reaper.GetSetMediaItemTakeInfo_String(take, "P_EXT:spresso_seed", tostring(placed.seed), true)
  reaper.GetSetMediaItemTakeInfo_String(take, "P_EXT:spresso_profile", placed.profile, true)
end

--- What a take is: {id, seed, profile}, nil if it is not from the bridge.
function bridge.tagged(take)
  local _, id = reaper.GetSetMediaItemTakeInfo_String(take, "P_EXT:spresso_id", "", false)
  if not id or id == "" then return nil end
  local _, seed = reaper.GetSetMediaItemTakeInfo_String(take, "P_EXT:spresso_seed", "", false)
  local _, profile = reaper.GetSetMediaItemTakeInfo_String(take, "P_EXT:spresso_profile", "", false)
  return { id = id, seed = math.tointeger(tonumber(seed)) or 0, profile = profile }
end

--- Place a take and put it on the selected track (a new one without any) at the edit cursor; one step of undo.
function bridge.insert(wish)
  local into, problem = bridge.media_folder()
  if not into then return nil, problem end
  local placed
  placed, problem = bridge.place(wish, into)
  if not placed then return nil, problem end
  local source = reaper.PCM_Source_CreateFromFile(placed.path)
  if not source then return nil, { message = "REAPER cannot open " .. placed.path .. "." } end
  reaper.Undo_BeginBlock()
  reaper.PreventUIRefresh(1)
  local track = reaper.GetSelectedTrack(0, 0)
  if not track then
    local last = reaper.CountTracks(0)
    reaper.InsertTrackAtIndex(last, true)
    track = reaper.GetTrack(0, last)
  end
  local item = reaper.AddMediaItemToTrack(track)
  local take = reaper.AddTakeToMediaItem(item)
  reaper.SetMediaItemTake_Source(take, source)
  reaper.SetMediaItemInfo_Value(item, "D_POSITION", reaper.GetCursorPosition())
  reaper.SetMediaItemInfo_Value(item, "D_LENGTH", (reaper.GetMediaSourceLength(source)))
  bridge.tag(take, wish.id, placed)
  reaper.SelectAllMediaItems(0, false)
  reaper.SetMediaItemSelected(item, true)
  reaper.PreventUIRefresh(-1)
  reaper.UpdateArrange()
  reaper.Main_OnCommand(40047, 0) -- Peaks: Build any missing peaks
  reaper.Undo_EndBlock("spresso: insert " .. name_of(placed.path), -1)
  return placed
end

return bridge
