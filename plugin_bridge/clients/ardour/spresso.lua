ardour {
	["type"]    = "EditorAction",
	name        = "spresso: insert a catalog sound",
	license     = "Apache-2.0",
	author      = "spresso",
	description = [[Search the spresso catalog, choose a sound and a variation, and import it at the playhead: on the selected track, or on a new one. Needs a running bridge (spresso serve) and curl. The file is placed in the folder spresso of the session; let the bridge write there with: spresso bridge allow FOLDER]]
}

function action_params ()
	return {
		["profile"] = { title = "Profile (empty: the best there is)", default = "" },
		["quality"] = { title = "Quality: preview, default or paper", default = "default" },
	}
end

-- Everything stands inside of the function: Ardour keeps only what factory() returns.
function factory (params) return function ()

	local LIMIT = 60
	local START = "Start it in a terminal with:  spresso serve"
	local windows = (os.getenv ("LOCALAPPDATA") or "") ~= ""

	local function complain (text)
		LuaDialog.Message ("spresso", text, LuaDialog.MessageType.Error, LuaDialog.ButtonType.Close):run ()
	end

	local function read (path)
		local file = io.open (path, "rb")
		if not file then return "" end
		local text = file:read ("*a")
		file:close ()
		return text
	end

	local function write (path, text)
		local file = io.open (path, "wb")
		if not file then return false end
		file:write (text)
		file:close ()
		return true
	end

	local function percent (text)
		return (text:gsub ("[^%w%-%._~]", function (char) return string.format ("%%%02X", char:byte ()) end))
	end

	-- A text as JSON and as curl's configuration write it.
	local function quoted (text)
		local short = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
		return '"' .. text:gsub ('[\\"\n\r\t]', short) .. '"'
	end

	-- The text of the first "key" of a JSON document. Quotes in JSON texts are escaped: `"key":` can only be a key.
	local function json_text (document, key)
		local _, start = document:find ('"' .. key .. '"%s*:%s*"')
		if not start then return nil end
		local short = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
		local out, at = {}, start + 1
		while true do
			local plain, stop = document:match ('^([^"\\]*)()', at)
			out[#out + 1] = plain
			if document:sub (stop, stop) ~= "\\" then return table.concat (out) end
			local escape = document:sub (stop + 1, stop + 1)
			at = stop + 2
			if escape == "u" then
				local code = tonumber (document:sub (at, at + 3), 16) or 0xFFFD
				at = at + 4
				local low = code >= 0xD800 and code < 0xDC00 and document:match ("^\\u(%x%x%x%x)", at)
				if low then
					code = 0x10000 + (code - 0xD800) * 0x400 + (tonumber (low, 16) - 0xDC00)
					at = at + 6
				end
				out[#out + 1] = utf8.char (code)
			else
				out[#out + 1] = short[escape] or escape
			end
		end
	end

	-- The files by which a running bridge is found, without their endings.
	local function discovery ()
		local named = os.getenv ("SPRESSO_BRIDGE")
		if named and named ~= "" then return (named:gsub ("%.[^./\\]*$", "")) end
		if windows then return os.getenv ("LOCALAPPDATA") .. "\\spresso\\bridge" end
		local home = os.getenv ("HOME") or ""
		local mac = home .. "/Library/Application Support/spresso/bridge"
		if read (mac .. ".txt") ~= "" then return mac end
		local state = os.getenv ("XDG_STATE_HOME")
		if not state or state == "" then state = home .. "/.local/state" end
		return state .. "/spresso/bridge"
	end

	local function shell (text)
		if windows then return '"' .. text .. '"' end
		return "'" .. text:gsub ("'", "'\\''") .. "'"
	end

	-- Ask the bridge, through curl: its answer as text, or nil and what is wrong. The token is in a file that the bridge
	-- keeps for its owner alone, and the rest in one of our own: nothing is on the command line.
	local function ask (path, body)
		local files = discovery ()
		local port = read (files .. ".txt"):match ("^(%d+) ")
		if not port then return nil, "The spresso bridge is not running.\n\n" .. START end
		local config, head, answer = os.tmpname (), os.tmpname (), os.tmpname ()
		local lines = {
			"url = " .. quoted ("http://127.0.0.1:" .. port .. path),
			"output = " .. quoted (answer),
			"dump-header = " .. quoted (head),
			"silent",
			'noproxy = "*"',
			"max-time = 600",
		}
		if body then
			lines[#lines + 1] = 'header = "Content-Type: application/json"'
			lines[#lines + 1] = "data-binary = " .. quoted (body)
		end
		write (config, table.concat (lines, "\n") .. "\n")
		-- -q: what stands in the user's own .curlrc is not for us
		os.execute ("curl -q -K " .. shell (files .. ".curl") .. " -K " .. shell (config))
		local status = tonumber (read (head):match (".*HTTP/[%d.]+ (%d+)"))
		local text = read (answer)
		for _, file in ipairs ({ config, head, answer }) do os.remove (file) end
		if not status then
			return nil, "The bridge gave no answer: it has ended, or curl is not installed.\n\n" .. START
		end
		if status < 300 then return text end
		local hint = json_text (text, "hint") or ""
		return nil, (json_text (text, "detail") or ("The bridge answered " .. status .. ".")) .. "\n\n" .. hint, status
	end

	local function search (words)
		local text, why = ask ("/v1/search?format=tsv&limit=" .. LIMIT .. "&q=" .. percent (words))
		if not text then return nil, why end
		local columns, rows = nil, {}
		for line in text:gmatch ("[^\r\n]+") do
			local cells = {}
			for cell in (line .. "\t"):gmatch ("([^\t]*)\t") do cells[#cells + 1] = cell end
			if not columns then
				columns = cells
			else
				local row = {}
				for n, column in ipairs (columns) do row[column] = cells[n] or "" end
				rows[#rows + 1] = row
			end
		end
		return rows
	end

	local function place (id, variation)
		local folder = Session:path () .. "/spresso"
		local wish = {
			'"id": ' .. quoted (id),
			'"variation": ' .. string.format ("%d", variation),
			'"rate": ' .. string.format ("%d", Session:nominal_sample_rate ()),
			'"q": ' .. quoted (params["quality"] or "default"),
		}
		if (params["profile"] or "") ~= "" then wish[#wish + 1] = '"profile": ' .. quoted (params["profile"]) end
		local body = '{"items": [{' .. table.concat (wish, ", ") .. '}], "dir": ' .. quoted (folder) .. "}"
		local text, why, status = ask ("/v1/place", body)
		if status == 403 then
			why = why .. "\n\nTo let the bridge write into this session, run once in a terminal:\n\n"
				.. "spresso bridge allow " .. shell (Session:path ())
		end
		if not text then return nil, why end
		return json_text (text, "path"), "The bridge placed nothing."
	end

	local function a_track_is_selected ()
		for route in Editor:get_selection ().tracks:routelist ():iter () do
			if not route:to_track ():isnil () then return true end
		end
		return false
	end

	local said = LuaDialog.Dialog ("spresso: search", {
		{ type = "entry", key = "words", title = "Words", default = "" },
	}):run ()
	collectgarbage ()
	if not said then return end

	local rows, why = search (said["words"])
	if not rows then return complain (why) end
	if #rows == 0 then return complain ("Nothing answers to these words; try fewer.") end
	-- The list is sorted by its texts: the number in front keeps the order of the search.
	local choices, first = {}, nil
	for n, row in ipairs (rows) do
		local text = string.format ("%02d  %s  (%.1f s)", n, row.name, tonumber (row.duration_s) or 0)
		choices[text] = row.id
		first = first or text
	end
	said = LuaDialog.Dialog ("spresso: choose", {
		{ type = "dropdown", key = "id", title = "Sound", values = choices, default = first },
		{ type = "number", key = "variation", title = "Variation (0: as it was kept)", min = 0, max = 9999, step = 1, digits = 0, default = 0 },
	}):run ()
	collectgarbage ()
	if not said then return end

	local path
	path, why = place (said["id"], said["variation"])
	if not path then return complain (why) end
	local files = C.StringVector ()
	files:push_back (path)
	Editor:do_import (files,
		Editing.ImportDistinctFiles,
		a_track_is_selected () and Editing.ImportToTrack or Editing.ImportAsTrack,
		ARDOUR.SrcQuality.SrcBest,
		ARDOUR.MidiTrackNameSource.SMFTrackName, ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore,
		Temporal.timepos_t (Session:transport_sample ()), ARDOUR.PluginInfo (), ARDOUR.Track (), false)

end end
