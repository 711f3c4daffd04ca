-- What the actions ask the bridge for. Kept by REAPER from one start to the next.

local here = ({ reaper.get_action_context() })[2]:match("^(.*[/\\])")
local bridge = dofile(here .. "spresso_bridge.lua")

-- REAPER separates labels and values by commas: no label has one.
local FIELDS = {
  { name = "profile", label = "Profile (empty: the best there is)" },
  { name = "quality", label = "Quality: preview / default / paper", among = { preview = 1, default = 1, paper = 1 } },
  { name = "bits", label = "Bits: 16 / 24 / 32f", among = { ["16"] = 1, ["24"] = 1, ["32f"] = 1 } },
  { name = "rate", label = "Sample rate (empty: the sound's)", from = 8000, to = 192000 },
  { name = "takes", label = "Re-roll adds a take: yes / no", among = { yes = 1, no = 1 } },
  { name = "curl", label = "curl program (empty: find it)" },
}

local function allowed(field, value)
  if field.among then return field.among[value] ~= nil end
  if not field.from or value == "" then return true end
  local number = value:match("^%d+$") and tonumber(value)
  return number and number >= field.from and number <= field.to
end

local function main()
  local labels, values = {}, {}
  for n, field in ipairs(FIELDS) do
    labels[n] = field.label
    values[n] = bridge.setting(field.name)
  end
  labels[#labels + 1] = "extrawidth=160"
  local ok, answer =
    reaper.GetUserInputs("spresso: settings", #FIELDS, table.concat(labels, ","), table.concat(values, ","))
  if not ok then return end
  local given = {}
  for value in (answer .. ","):gmatch("([^,]*),") do given[#given + 1] = value end
  for n, field in ipairs(FIELDS) do
    if not allowed(field, given[n] or "") then
      local message = string.format('"%s" is no value for: %s.\n\nNothing was changed; try again.', given[n], field.label)
      return bridge.complain({ message = message })
    end
  end
  for n, field in ipairs(FIELDS) do bridge.set(field.name, given[n] or "") end
end

main()
