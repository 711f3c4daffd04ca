tool
extends Node
# The bridge of this machine: found by its discovery file, asked over HTTP. Runs in the editor only.
#
# Every call answers, after a yield, with a dictionary: "error" is "" or what to tell the user, "body" are the bytes,
# "json" the parsed answer where it is JSON.

const QUICK_S := 10
const SLOW_S := 300
const MAX_BYTES := 268435456


static func discovery_file() -> String:
	var named := OS.get_environment("SPRESSO_BRIDGE")
	if named != "":
		return named.get_basename() + ".txt"
	match OS.get_name():
		"Windows", "UWP":
			return OS.get_environment("LOCALAPPDATA").plus_file("spresso/bridge.txt")
		"OSX":
			return OS.get_environment("HOME").plus_file("Library/Application Support/spresso/bridge.txt")
	var state := OS.get_environment("XDG_STATE_HOME")
	if state == "":
		state = OS.get_environment("HOME").plus_file(".local/state")
	return state.plus_file("spresso/bridge.txt")


# [port, token]; empty where no bridge runs.
static func find() -> Array:
	var file := File.new()
	if file.open(discovery_file(), File.READ) != OK:
		return []
	var words := file.get_as_text().strip_edges().split(" ")
	file.close()
	if words.size() != 2 or not words[0].is_valid_integer():
		return []
	return [int(words[0]), words[1]]


func search(query: String) -> Dictionary:
	return yield(_ask("/v1/search?limit=50&q=" + query.http_escape(), QUICK_S), "completed")


func variations(id: String, count: int) -> Dictionary:
	return yield(_ask("/v1/sounds/%s/variations?n=%d" % [id.http_escape(), count], QUICK_S), "completed")


# A WAV of 16 bits, which Godot plays as it is. A newer audition ends an older one.
func audition(audio_url: String) -> Dictionary:
	return yield(_ask(audio_url + "&bits=16&group=godot", SLOW_S), "completed")


# Items are {"id", "seed", ...}; the bridge writes the files itself, with their provenance inside.
func place(items: Array, folder: String) -> Dictionary:
	var body := {"items": items, "dir": folder, "name_style": "safe", "format": "wav"}
	return yield(_ask("/v1/place", SLOW_S, JSON.print(body)), "completed")


func _ask(target: String, timeout: int, body := "") -> Dictionary:
	yield(get_tree(), "idle_frame")  # whoever waits for "completed" has to come first
	var where := find()
	if where.empty():
		return _failed("The bridge is not running: start it with `spresso serve`.")
	var request := HTTPRequest.new()
	request.timeout = timeout
	request.body_size_limit = MAX_BYTES
	add_child(request)
	var headers := PoolStringArray(["Authorization: Bearer " + where[1]])
	var method := HTTPClient.METHOD_GET
	if body != "":
		headers.append("Content-Type: application/json")
		method = HTTPClient.METHOD_POST
	var url := "http://127.0.0.1:%d%s" % [where[0], target]
	if request.request(url, headers, false, method, body) != OK:
		request.queue_free()
		return _failed("The bridge could not be asked.")
	var answer: Array = yield(request, "request_completed")
	request.queue_free()
	return _read(answer[0], answer[1], answer[3])


func _read(result: int, status: int, bytes: PoolByteArray) -> Dictionary:
	if result == HTTPRequest.RESULT_CANT_CONNECT:
		return _failed("The bridge is not running: start it with `spresso serve`.")
	if result != HTTPRequest.RESULT_SUCCESS:
		return _failed("The bridge did not answer to the end; try again.")
	var said = null
	if bytes.size() > 0 and bytes[0] == ord("{"):
		said = JSON.parse(bytes.get_string_from_utf8()).result
	if status < 200 or status >= 300:
		var why := "The bridge answered %d." % status
		if said is Dictionary and said.has("detail"):
			why = "%s. %s" % [str(said["detail"]).trim_suffix("."), said.get("hint", "")]
		return _failed(why)
	return {"error": "", "body": bytes, "json": said}


static func _failed(why: String) -> Dictionary:
	return {"error": why, "body": PoolByteArray(), "json": null}
