-- A REAPER of paper: enough of its functions to run our actions, and an error for every function that is not here.
--
--     lua reaper_stub.lua WORLD.lua
--
-- WORLD.lua returns {resource, project, media, sws, cursor, tracks, selected, ext, fail, steps}; each step is
-- {action, keys, inputs, select, box}. `keys` holds texts to type, codes of keys, {until_shown = PATTERN} and
-- {click = {x, y}}. Prints one line per call that matters, then the project as it is at the end, separated by tabs.

local world = dofile(arg[1])
local now, step = 0, nil

local function say(...)
  local cells = {}
  for n = 1, select("#", ...) do
    cells[n] = tostring((select(n, ...))):gsub("\\", "\\\\"):gsub("\t", "\\t"):gsub("\n", "\\n")
  end
  print(table.concat(cells, "\t"))
end

local function strict(name, members)
  return setmetatable(members, {
    __index = function(_, key) error(name .. "." .. tostring(key) .. " is not in the stub", 2) end,
  })
end

local function must(kind, thing)
  if type(thing) ~= "table" or thing.kind ~= kind then error("expected a " .. kind .. ", got " .. tostring(thing), 3) end
  if thing.gone then error("this " .. kind .. " was destroyed", 3) end
  return thing
end

-- The project ----------------------------------------------------------------------------------------------------

local project = { tracks = {}, undo = 0 }
local function new_track() return { kind = "track", items = {} } end
for n = 1, world.tracks or 1 do project.tracks[n] = new_track() end
local selected_track = project.tracks[world.selected or 1]

local function items()
  local all = {}
  for _, track in ipairs(project.tracks) do
    for _, item in ipairs(track.items) do all[#all + 1] = item end
  end
  return all
end

local function selected_items()
  local chosen = {}
  for _, item in ipairs(items()) do if item.selected then chosen[#chosen + 1] = item end end
  return chosen
end

--- Length of a WAV file in seconds, nil if it is none.
local function wav_seconds(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local data = file:read("a")
  file:close()
  if data:sub(1, 4) ~= "RIFF" or data:sub(9, 12) ~= "WAVE" then return nil end
  local at, per_second = 13, nil
  while at + 8 <= #data do
    local name, size = string.unpack("<c4I4", data, at)
    if name == "fmt " then per_second = string.unpack("<I4", data, at + 16) end
    if name == "data" then
      if at + 7 + size > #data then return nil end
      return size / per_second
    end
    at = at + 8 + size + size % 2
  end
  return nil
end

local function run(command)
  local pipe = assert(io.popen(command .. " 2>/dev/null"))
  local output = pipe:read("a")
  local _, _, code = pipe:close()
  return code .. "\n" .. output
end

local edits = 0 -- changes of the project outside of a block of undo
local function edit()
  if project.undo == 0 then error("a change of the project outside of a block of undo", 3) end
  edits = edits + 1
end

local deferred = {}
reaper = strict("reaper", {
  GetOS = function() return "Other" end,
  GetResourcePath = function() return world.resource end,
  GetExtState = function(section, key) return (world.ext or {})[section .. "." .. key] or "" end,
  SetExtState = function(section, key, value, persist)
    assert(persist == true, "a setting that REAPER forgets")
    world.ext = world.ext or {}
    world.ext[section .. "." .. key] = value
    say("ext", section, key, value)
  end,
  RecursiveCreateDirectory = function(path) return os.execute('mkdir -p "' .. path .. '"') and 1 or 0 end,
  ExecProcess = function(command, milliseconds)
    say("exec", command, milliseconds)
    if world.no_curl then return nil end
    if milliseconds >= 0 then return run(command) end
    os.execute(command .. " >/dev/null 2>&1 &")
    return "0\n"
  end,
  time_precise = function() return now end,
  defer = function(job) deferred[#deferred + 1] = job end,
  get_action_context = function() return false, step.action, 0, 0, 0, 0, 0 end,
  APIExists = function(name) return world.sws == true and name:find("^CF_") ~= nil end,
  ShowMessageBox = function(message, title, kind)
    say("box", title, kind, message)
    return step.box or 1
  end,
  GetUserInputs = function(title, count, labels, values)
    say("inputs", title, count, labels, values)
    if not step.inputs then return false, values end
    return true, step.inputs
  end,
  EnumProjects = function() return { kind = "project" }, world.project or "" end,
  GetProjectPath = function() return world.media end,
  GetCursorPosition = function() return world.cursor or 0 end,
  CountTracks = function() return #project.tracks end,
  GetTrack = function(_, n) return project.tracks[n + 1] end,
  GetSelectedTrack = function(_, n) return n == 0 and selected_track or nil end,
  InsertTrackAtIndex = function(n)
    edit()
    table.insert(project.tracks, n + 1, new_track())
  end,
  AddMediaItemToTrack = function(track)
    edit()
    local item = { kind = "item", takes = {}, info = {} }
    table.insert(must("track", track).items, item)
    return item
  end,
  AddTakeToMediaItem = function(item)
    edit()
    local take = { kind = "take", text = {}, info = {} }
    table.insert(must("item", item).takes, take)
    item.active = item.active or take
    return take
  end,
  GetActiveTake = function(item) return must("item", item).active end,
  SetActiveTake = function(take)
    edit()
    for _, item in ipairs(items()) do
      for _, one in ipairs(item.takes) do if one == must("take", take) then item.active = take end end
    end
  end,
  PCM_Source_CreateFromFile = function(path)
    local seconds = wav_seconds(path)
    if not seconds then return nil end
    return { kind = "source", path = path, seconds = seconds }
  end,
  PCM_Source_Destroy = function(source)
    must("source", source).gone = true
    for _, item in ipairs(items()) do
      for _, take in ipairs(item.takes) do assert(take.source ~= source, "a source in use was destroyed") end
    end
  end,
  GetMediaSourceLength = function(source) return must("source", source).seconds, false end,
  GetMediaItemTake_Source = function(take) return must("take", take).source end,
  SetMediaItemTake_Source = function(take, source)
    edit()
    must("take", take).source = must("source", source)
    return true
  end,
  GetSetMediaItemTakeInfo_String = function(take, name, value, set)
    must("take", take)
    assert(name == "P_NAME" or name:find("^P_EXT:%w"), name)
    if set then
      edit()
      take.text[name] = value
    end
    return true, take.text[name] or ""
  end,
  GetMediaItemTakeInfo_Value = function(take, name)
    assert(name == "D_STARTOFFS", name)
    return must("take", take).info[name] or 0
  end,
  SetMediaItemTakeInfo_Value = function(take, name, value)
    edit()
    assert(name == "D_STARTOFFS", name)
    must("take", take).info[name] = value
  end,
  SetMediaItemInfo_Value = function(item, name, value)
    edit()
    assert(name == "D_POSITION" or name == "D_LENGTH", name)
    must("item", item).info[name] = assert(tonumber(value))
    return true
  end,
  SelectAllMediaItems = function(_, yes) for _, item in ipairs(items()) do item.selected = yes end end,
  SetMediaItemSelected = function(item, yes) must("item", item).selected = yes end,
  CountSelectedMediaItems = function() return #selected_items() end,
  GetSelectedMediaItem = function(_, n) return selected_items()[n + 1] end,
  UpdateItemInProject = function(item) must("item", item) end,
  UpdateArrange = function() end,
  PreventUIRefresh = function(by) project.frozen = (project.frozen or 0) + by end,
  Main_OnCommand = function(command) say("command", command) end,
  Undo_BeginBlock = function() project.undo = project.undo + 1 end,
  Undo_EndBlock = function(name, flags)
    project.undo = project.undo - 1
    say("undo", name, flags, edits)
    edits = 0
  end,
  CF_CreatePreview = function(source) return { kind = "preview", source = must("source", source) } end,
  CF_Preview_Play = function(preview)
    must("source", must("preview", preview).source)
    preview.plays = true
    say("play", preview.source.path, preview.source.seconds)
    return true
  end,
  CF_Preview_Stop = function(preview)
    must("preview", preview).gone = true
    return true
  end,
})

-- The window -----------------------------------------------------------------------------------------------------

local keys, shown, patience = {}, "", 0
local fields = { x = 0, y = 0, w = 0, h = 0, mouse_x = 0, mouse_y = 0, mouse_cap = 0, mouse_wheel = 0 }
gfx = setmetatable({}, {
  __index = function(_, key)
    if fields[key] ~= nil then return fields[key] end
    error("gfx." .. tostring(key) .. " is not in the stub", 2)
  end,
  __newindex = function(_, key, value)
    if type(fields[key]) ~= "number" then error("gfx." .. tostring(key) .. " cannot be set", 2) end
    fields[key] = value
  end,
})
function fields.init(title, w, h)
  fields.w, fields.h = w, h
  say("window", title)
end
function fields.quit() say("closed") end
function fields.setfont() end
function fields.set(red, green, blue, alpha)
  for _, part in ipairs({ red, green, blue, alpha }) do assert(part >= 0 and part <= 1, "a colour beyond 0 to 1") end
end
function fields.rect() end
function fields.drawstr(text) shown = shown .. text .. "\n" end
function fields.update()
  fields.shown, shown = shown, ""
end

function fields.getchar()
  fields.mouse_cap = 0
  local key = keys[1]
  if key == nil then return -1 end -- nothing more to do: the window is closed
  if type(key) == "table" and key.until_shown then
    if fields.shown and fields.shown:find(key.until_shown) then
      table.remove(keys, 1)
      patience = 0
    else
      patience = patience + 1
      assert(patience < 3000, "never shown: " .. key.until_shown .. "\n" .. tostring(fields.shown))
      os.execute("sleep 0.02")
    end
    return 0
  end
  table.remove(keys, 1)
  if type(key) == "table" then
    fields.mouse_x, fields.mouse_y, fields.mouse_cap = key.click[1], key.click[2], 1
    return 0
  end
  return key
end

-- The steps ------------------------------------------------------------------------------------------------------

for _, one in ipairs(world.steps) do
  step, keys = one, {}
  for _, key in ipairs(one.keys or {}) do
    if type(key) == "string" then
      for _, code in utf8.codes(key) do keys[#keys + 1] = code < 256 and code or 0x75000000 + code end
    else
      keys[#keys + 1] = key
    end
  end
  for n, item in ipairs(items()) do
    if one.select then item.selected = one.select[n] == true end
  end
  say("step", one.action:match("[^/]+$"))
  dofile(one.action)
  while #deferred > 0 do
    now = now + 0.033
    table.remove(deferred, 1)()
  end
  assert(project.undo == 0, "a block of undo is open")
  assert((project.frozen or 0) == 0, "the window is still frozen")
end
for n, track in ipairs(project.tracks) do
  for _, item in ipairs(track.items) do
    for _, take in ipairs(item.takes) do
      local text = take.text
      say("take", n, item.info.D_POSITION, item.info.D_LENGTH, take == item.active, take.source.path, text.P_NAME or "",
        text["P_EXT:spresso_id"] or "", text["P_EXT:spresso_seed"] or "", text["P_EXT:spresso_profile"] or "")
    end
  end
end
