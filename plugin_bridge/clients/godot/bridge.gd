@tool
extends Node
# The bridge of this machine: found by its discovery file, asked over HTTP. Runs in the editor only.
#
# Every call answers, awaited, with a dictionary: "error" is "" or what to tell the user, "body" are the bytes, "json"
# the parsed answer where it is JSON.

const QUICK_S := 10.0
const SLOW_S := 300.0
const MAX_BYTES := 268435456
const NOT_RUNNING := "The bridge is not running: start it with `spresso serve`."


static func discovery_file() -> String:
	var named := OS.get_environment("SPRESSO_BRIDGE")
	if named != "":
		return named.get_basename() + ".txt"
	var home := OS.get_environment("HOME")
	match OS.get_name():
		"Windows":
			return OS.get_environment("LOCALAPPDATA").path_join("spresso/bridge.txt")
		"macOS":
			return home.path_join("Library/Application Support/spresso/bridge.txt")
	var state := OS.get_environment("XDG_STATE_HOME")
	if state == "":
		state = home.path_join(".local/state")
	return state.path_join("spresso/bridge.txt")


# [port, token]; empty where no bridge runs.
static func find() -> Array:
	var words := FileAccess.get_file_as_string(discovery_file()).strip_edges().split(" ")
	if words.size() != 2 or not words[0].is_valid_int():
		return []
	return [words[0].to_int(), words[1]]


func search(query: String) -> Dictionary:
	return await _ask("/v1/search?limit=50&q=" + query.uri_encode(), QUICK_S)


func variations(id: String, count: int) -> Dictionary:
	return await _ask("/v1/sounds/%s/variations?n=%d" % [id.uri_encode(), count], QUICK_S)


# A WAV of 16 bits, which Godot plays as it is. A newer audition ends an older one.
func audition(audio_url: String) -> Dictionary:
	return await _ask(audio_url + "&bits=16&group=godot", SLOW_S)


# Items are {"id", "seed", ...}; the bridge writes the files itself, with their provenance inside.
func place(items: Array, folder: String) -> Dictionary:
	var body := {"items": items, "dir": folder, "name_style": "safe", "format": "wav"}
	return await _ask("/v1/place", SLOW_S, JSON.stringify(body))


func _ask(target: String, timeout: float, body := "") -> Dictionary:
	var where := find()
	if where.is_empty():
		return _failed(NOT_RUNNING)
	var request := HTTPRequest.new()
	request.timeout = timeout
	request.body_size_limit = MAX_BYTES
	add_child(request)
	var headers := PackedStringArray(["Authorization: Bearer " + str(where[1])])
	var method := HTTPClient.METHOD_GET
	if body != "":
		headers.append("Content-Type: application/json")
		method = HTTPClient.METHOD_POST
	var url := "http://127.0.0.1:%d%s" % [where[0], target]
	if request.request(url, headers, method, body) != OK:
		request.queue_free()
		return _failed("The bridge could not be asked.")
	var answer: Array = await request.request_completed
	request.queue_free()
	return _read(answer[0], answer[1], answer[3])


func _read(result: int, status: int, bytes: PackedByteArray) -> Dictionary:
	if result == HTTPRequest.RESULT_CANT_CONNECT:
		return _failed(NOT_RUNNING)
	if result != HTTPRequest.RESULT_SUCCESS:
		return _failed("The bridge did not answer to the end; try again.")
	var said: Variant = null
	if bytes.size() > 0 and bytes[0] == "{".unicode_at(0):
		said = JSON.parse_string(bytes.get_string_from_utf8())
	if status < 200 or status >= 300:
		var why := "The bridge answered %d." % status
		if said is Dictionary and said.has("detail"):
			why = "%s. %s" % [str(said["detail"]).trim_suffix("."), said.get("hint", "")]
		return _failed(why)
	return {"error": "", "body": bytes, "json": said}


static func _failed(why: String) -> Dictionary:
	return {"error": why, "body": PackedByteArray(), "json": null}
