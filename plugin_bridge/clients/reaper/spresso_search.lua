-- @description spresso: search, audition and insert catalog sounds
-- @version 1.0
-- @author spresso
-- @provides
--   [main] spresso_reroll.lua
--   [main] spresso_settings.lua
--   [nomain] spresso_bridge.lua
-- @about
--   # spresso
--   Sounds of your spresso catalog in REAPER: type words, hear a sound, step through its variations, put it at the
--   edit cursor of the selected track, roll it again later. Needs a running bridge (`spresso serve`) and curl;
--   auditioning needs the SWS extension.

local here = ({ reaper.get_action_context() })[2]:match("^(.*[/\\])")
local bridge = dofile(here .. "spresso_bridge.lua")

local KEY = { enter = 13, escape = 27, backspace = 8, tab = 9, space = 32, up = 30064, down = 1685026670,
  left = 1818584692, right = 1919379572, page_up = 1885828464, page_down = 1885824110 }
local LIMIT, ROW, TOP = 100, 20, 64 -- rows fetched; heights in pixels
local SETTLE_S, DOUBLE_S = 0.35, 0.4 -- typing is over; two clicks are one
local AUDITIONS = 8 -- files taken in turn: a file that still plays cannot be replaced on Windows

local state = {
  words = "", typed_at = nil, rows = {}, selected = 1, first = 1, variation = 0, in_list = false,
  status = "type words; Enter goes to the list", held = false, clicked_at = -1, closing = false,
}
local audition = { wanted = nil, request = nil, number = 0, preview = nil, source = nil }

-- What it does ---------------------------------------------------------------------------------------------------

local function chosen()
  local row = state.rows[state.selected]
  return row and { id = row.id, variation = state.variation }, row
end

local function search()
  state.typed_at = nil
  local rows, problem = bridge.search(state.words, LIMIT)
  state.selected, state.first, state.variation = 1, 1, 0
  if not rows then
    state.rows, state.status = {}, "the last search failed"
    return bridge.complain(problem)
  end
  state.rows = rows
  if #rows == 0 then
    state.status = "nothing answers to these words; try fewer"
  else
    state.status = (#rows == LIMIT and "the first " or "") .. #rows .. (#rows == 1 and " sound" or " sounds")
  end
end

local function silence()
  if audition.preview then reaper.CF_Preview_Stop(audition.preview) end
  if audition.source then reaper.PCM_Source_Destroy(audition.source) end
  audition.preview, audition.source = nil, nil
end

local function play(file)
  silence()
  audition.source = reaper.PCM_Source_CreateFromFile(file)
  if not audition.source then
    state.status = "REAPER cannot open the audition"
    return
  end
  audition.preview = reaper.CF_CreatePreview(audition.source)
  reaper.CF_Preview_Play(audition.preview)
  state.status = "playing variation " .. state.variation
end

local function insert()
  local wish = chosen()
  if not wish then return end
  local placed, problem = bridge.insert(wish)
  if not placed then return bridge.complain(problem) end
  state.status = "inserted, seed " .. (placed.seed or "?")
end

local function hear()
  local wish = chosen()
  if not wish then return end
  if not reaper.APIExists("CF_CreatePreview") then
    local question = "Auditioning needs the SWS extension (sws-extension.org).\n\nInsert the sound instead?"
    if reaper.ShowMessageBox(question, "spresso", 4) == 6 then insert() end
    return
  end
  silence()
  audition.wanted = wish
  state.status = "rendering variation " .. state.variation .. " ..."
end

local function begin_audition()
  local wish, why = audition.wanted, nil
  audition.wanted = nil
  audition.number = audition.number % AUDITIONS + 1
  audition.request, why = bridge.audition(wish, audition.number)
  if not audition.request then bridge.complain({ message = why }) end
end

local function watch_audition()
  -- The bridge ends the older of two auditions: it has to get them in the order in which they were wanted.
  if audition.wanted and (not audition.request or bridge.reached(audition.request)) then return begin_audition() end
  local request = audition.request
  if not request then return end
  local done, whole, problem = bridge.finish(request)
  if not done then return end
  audition.request = nil
  if audition.wanted then return end
  if whole then return play(request.to) end
  state.status = "no audition"
  bridge.complain(problem)
end

-- Keys and mouse -------------------------------------------------------------------------------------------------

local function visible_rows()
  return math.max(1, math.floor((gfx.h - TOP - ROW - 8) / ROW))
end

local function select(n)
  local former = state.selected
  state.selected = math.max(1, math.min(n, #state.rows))
  if state.selected ~= former then state.variation = 0 end
  local shown = visible_rows()
  state.first = math.max(math.min(state.first, state.selected), state.selected - shown + 1)
end

local function step(by)
  state.variation = math.max(0, state.variation + by)
  state.status = "variation " .. state.variation .. (state.variation == 0 and " (as it was kept)" or "")
end

local function in_field(char)
  if char == KEY.enter or char == KEY.tab or char == KEY.down then
    if state.typed_at then search() end
    state.in_list = #state.rows > 0
  elseif char == KEY.escape then
    state.closing = true
  elseif char == KEY.backspace then
    local cut = utf8.offset(state.words, -1)
    if cut then state.words = state.words:sub(1, cut - 1) end
    state.typed_at = reaper.time_precise()
  else
    local code = char >> 24 == 0x75 and char & 0xFFFFFF or char -- "u" above a character beyond Latin 1
    if code >= 32 and code ~= 127 and (code < 256 or code ~= char) then
      state.words = state.words .. utf8.char(code)
      state.typed_at = reaper.time_precise()
    end
  end
end

local function in_list(char)
  if char == KEY.up and state.selected == 1 then
    state.in_list = false
  elseif char == KEY.up then
    select(state.selected - 1)
  elseif char == KEY.down then
    select(state.selected + 1)
  elseif char == KEY.page_up then
    select(state.selected - visible_rows())
  elseif char == KEY.page_down then
    select(state.selected + visible_rows())
  elseif char == KEY.left then
    step(-1)
  elseif char == KEY.right then
    step(1)
  elseif char == KEY.space then
    hear()
  elseif char == KEY.enter then
    insert()
  elseif char == KEY.escape or char == KEY.tab or char == string.byte("/") then
    silence()
    state.in_list = false
  end
end

local function mouse()
  if gfx.mouse_wheel ~= 0 then
    if #state.rows > 0 then select(state.selected - (gfx.mouse_wheel > 0 and 3 or -3)) end
    gfx.mouse_wheel = 0
  end
  local down = gfx.mouse_cap & 1 == 1
  local pressed = down and not state.held
  state.held = down
  if not pressed then return end
  if gfx.mouse_y < TOP then
    state.in_list = false
    return
  end
  local n = state.first + math.floor((gfx.mouse_y - TOP) / ROW)
  if not state.rows[n] or n >= state.first + visible_rows() then return end
  local now = reaper.time_precise()
  local twice = n == state.selected and now - state.clicked_at < DOUBLE_S
  state.in_list, state.clicked_at = true, now
  select(n)
  if twice then insert() end
end

-- What it looks like ---------------------------------------------------------------------------------------------

local function colour(hex, alpha)
  gfx.set((hex >> 16 & 255) / 255, (hex >> 8 & 255) / 255, (hex & 255) / 255, alpha or 1)
end

local function text(x, y, words, right)
  gfx.x, gfx.y = x, y
  gfx.drawstr(words, 0, right or gfx.w - 8, y + ROW)
end

local function draw()
  colour(0x1e1f22)
  gfx.rect(0, 0, gfx.w, gfx.h, 1)
  colour(state.in_list and 0x2b2d30 or 0x393b40)
  gfx.rect(8, 8, gfx.w - 16, 26, 1)
  colour(0xe8e8e8)
  text(14, 13, state.words .. (state.in_list and "" or "|"))
  colour(0x8c9099)
  text(14, 40, "Space: hear    Left / Right: variation    Enter: insert    Esc: back")
  local length, kind = gfx.w - 190, gfx.w - 130
  for n = state.first, math.min(#state.rows, state.first + visible_rows() - 1) do
    local row, y = state.rows[n], TOP + (n - state.first) * ROW
    if n == state.selected then
      colour(state.in_list and 0x2f65ca or 0x393b40)
      gfx.rect(4, y, gfx.w - 8, ROW, 1)
    end
    colour(0xdfe1e5)
    local name = row.name
    if n == state.selected and state.variation > 0 then name = name .. "   + " .. state.variation end
    text(14, y + 2, name, length - 8)
    colour(0xa9adb5)
    text(length, y + 2, string.format("%.1f s", tonumber(row.duration_s) or 0), kind - 8)
    text(kind, y + 2, row.category)
  end
  colour(0x8c9099)
  text(14, gfx.h - ROW - 2, state.status)
  gfx.update()
end

local function loop()
  local char = gfx.getchar()
  while char > 0 do
    if state.in_list then in_list(char) else in_field(char) end
    char = gfx.getchar()
  end
  if char < 0 or state.closing then
    silence()
    gfx.quit()
    return
  end
  mouse()
  if state.typed_at and reaper.time_precise() - state.typed_at > SETTLE_S then search() end
  watch_audition()
  draw()
  reaper.defer(loop)
end

gfx.init("spresso", 640, 420, 0)
gfx.setfont(1, "Arial", 15)
search()
loop()
