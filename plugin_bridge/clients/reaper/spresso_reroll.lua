-- Every selected item from spresso becomes another variation of the same sound: same place, length, fades and effects.

local here = ({ reaper.get_action_context() })[2]:match("^(.*[/\\])")
local bridge = dofile(here .. "spresso_bridge.lua")

local SEEDS = 2147483648 -- seeds are 0 .. 2^31 - 1

local function selected_takes()
  local takes = {}
  for n = 0, reaper.CountSelectedMediaItems(0) - 1 do
    local item = reaper.GetSelectedMediaItem(0, n)
    local take = reaper.GetActiveTake(item)
    local what = take and bridge.tagged(take)
    if what then takes[#takes + 1] = { item = item, take = take, what = what } end
  end
  return takes
end

--- Give a take the sound of a file; with the setting "takes" the item gets one more take instead.
local function roll(entry, placed)
  local source = reaper.PCM_Source_CreateFromFile(placed.path)
  if not source then return { message = "REAPER cannot open " .. placed.path .. "." } end
  local take = entry.take
  if bridge.setting("takes") == "yes" then
    local offset = reaper.GetMediaItemTakeInfo_Value(take, "D_STARTOFFS")
    take = reaper.AddTakeToMediaItem(entry.item)
    reaper.SetMediaItemTake_Source(take, source)
    reaper.SetMediaItemTakeInfo_Value(take, "D_STARTOFFS", offset)
    reaper.SetActiveTake(take)
  else
    local former = reaper.GetMediaItemTake_Source(take)
    reaper.SetMediaItemTake_Source(take, source)
    if former then reaper.PCM_Source_Destroy(former) end -- the take lets go of it, nobody else does
  end
  bridge.tag(take, entry.what.id, placed)
  reaper.UpdateItemInProject(entry.item)
end

local function main()
  local takes = selected_takes()
  if #takes == 0 then
    bridge.complain({
      message = "No selected item is from spresso.\n\nSelect items that \"spresso: search\" inserted, then roll again.",
    })
    return
  end
  local into, problem = bridge.media_folder()
  if not into then return bridge.complain(problem) end
  reaper.Undo_BeginBlock()
  local done = 0
  for _, entry in ipairs(takes) do
    local placed
    placed, problem = bridge.place({
      id = entry.what.id,
      seed = (entry.what.seed + 1) % SEEDS,
      profile = entry.what.profile,
    }, into)
    if placed then problem = roll(entry, placed) end
    if problem then break end
    done = done + 1
  end
  reaper.UpdateArrange()
  reaper.Main_OnCommand(40047, 0) -- Peaks: Build any missing peaks
  reaper.Undo_EndBlock("spresso: re-roll " .. done .. (done == 1 and " item" or " items"), -1)
  if problem then bridge.complain(problem) end
end

main()
