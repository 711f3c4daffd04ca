@tool
extends RefCounted
# From a sound of the bridge to files of the project: its variations as WAV, and an AudioStreamRandomizer of them that
# never plays the same one twice in a row. Both are the engine's own: a game needs nothing of this add-on.

const PATIENCE_MS := 60000

var _bridge: Node
var _files: EditorFileSystem
var _reimported := false


func _init(bridge: Node, files: EditorFileSystem) -> void:
	_bridge = bridge
	_files = files


# Answers, awaited, with {"error", "randomizer": path of the .tres, "files": paths}.
func import_sound(sound: Dictionary, seeds: Array, folder: String) -> Dictionary:
	var items := []
	for number: int in seeds:
		items.append({"id": sound["id"], "seed": number, "bits": "16"})
	var target := ProjectSettings.globalize_path(folder)
	if DirAccess.make_dir_recursive_absolute(target) != OK:
		return _failed("%s cannot be made." % folder)
	var placed: Dictionary = await _bridge.place(items, target)
	if placed["error"] != "":
		return _failed(_with_advice(placed["error"]))
	var paths: Array[String] = []
	for file: Dictionary in placed["json"]["files"]:
		paths.append(folder.path_join(str(file["path"]).get_file()))
	_keep_manifest_out_of_translations(folder)
	var streams: Array[AudioStream] = await _imported(paths)
	if streams.is_empty():
		return _failed("Godot did not import %s; look at its output." % folder)
	var place := folder.path_join(_resource_name(paths[0]))
	if ResourceSaver.save(_randomizer_of(streams), place) != OK:
		return _failed("%s cannot be written." % place)
	_files.update_file(place)
	return {"error": "", "randomizer": place, "files": paths}


static func _randomizer_of(streams: Array[AudioStream]) -> AudioStreamRandomizer:
	var randomizer := AudioStreamRandomizer.new()
	randomizer.playback_mode = AudioStreamRandomizer.PLAYBACK_RANDOM_NO_REPEATS
	for stream in streams:
		randomizer.add_stream(-1, stream)
	return randomizer


# The list from which the originals are found again is a .csv, which Godot would take for translations.
static func _keep_manifest_out_of_translations(folder: String) -> void:
	var settings := folder.path_join("spresso-manifest.csv.import")
	if FileAccess.file_exists(settings):
		return
	var file := FileAccess.open(settings, FileAccess.WRITE)
	if file != null:
		file.store_string('[remap]\n\nimporter="keep"\n')
		file.close()


# Godot imports in its own time, and runs other scripts meanwhile: until it says that it is through, nothing may be
# scanned or loaded.
func _imported(paths: Array[String]) -> Array[AudioStream]:
	var end := Time.get_ticks_msec() + PATIENCE_MS
	_reimported = true
	_files.resources_reimported.connect(_on_reimported)
	var streams: Array[AudioStream] = []
	var scanned := false
	while streams.is_empty() and Time.get_ticks_msec() < end:
		await _bridge.get_tree().process_frame
		if _reimported:
			_reimported = false
			streams = _loaded(paths)
		if streams.is_empty() and not scanned and not _files.is_scanning():
			scanned = true
			_files.scan()
	_files.resources_reimported.disconnect(_on_reimported)
	return streams


func _on_reimported(_resources: PackedStringArray) -> void:
	_reimported = true


static func _loaded(paths: Array[String]) -> Array[AudioStream]:
	for path in paths:
		if not FileAccess.file_exists(path + ".import") or not ResourceLoader.exists(path):
			return []
	var streams: Array[AudioStream] = []
	for path in paths:
		var stream := load(path) as AudioStream
		if stream == null:
			return []
		streams.append(stream)
	return streams


# DOORWood_WoodenDoor_JD_LIB_3f2a-s12.wav becomes DOORWood_WoodenDoor_JD_LIB_3f2a.tres
static func _resource_name(path: String) -> String:
	var stem := path.get_file().get_basename()
	var cut := stem.rfind("-s")
	return (stem.left(cut) if cut > 0 else stem) + ".tres"


static func _with_advice(why: String) -> String:
	if "allow" in why:
		return "%s Allow this project: spresso bridge allow '%s'" % [why, ProjectSettings.globalize_path("res://")]
	return why


static func _failed(why: String) -> Dictionary:
	return {"error": why, "randomizer": "", "files": []}
