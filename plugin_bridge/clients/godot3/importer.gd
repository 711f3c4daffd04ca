tool
extends Reference
# From a sound of the bridge to files of the project: its variations as WAV, and a SpressoRandomizer of them.

const Randomizer := preload("randomizer.gd")
const PATIENCE_S := 60

var _bridge: Node
var _files: EditorFileSystem
var _reimported := false


func _init(bridge: Node, files: EditorFileSystem) -> void:
	_bridge = bridge
	_files = files


# Answers, after a yield, with {"error", "randomizer": path of the .tres, "files": paths}.
func import_sound(sound: Dictionary, seeds: Array, folder: String) -> Dictionary:
	var items := []
	for number in seeds:
		items.append({"id": sound["id"], "seed": int(number), "bits": "16"})
	# The bridge tells paths without links: both sides of the comparison below have to be of that kind.
	var root := ProjectSettings.globalize_path("res://")
	var target := ProjectSettings.globalize_path(folder)
	if Directory.new().make_dir_recursive(target) != OK:
		yield(_bridge.get_tree(), "idle_frame")
		return _failed("%s cannot be made." % folder)
	var placed: Dictionary = yield(_bridge.place(items, target), "completed")
	if placed["error"] != "":
		return _failed(_with_advice(placed["error"], root))
	var paths := []
	for file in placed["json"]["files"]:
		paths.append(folder.plus_file(str(file["path"]).get_file()))
	_keep_manifest_out_of_translations(folder)
	var streams: Array = yield(_imported(paths), "completed")
	if streams.empty():
		return _failed("Godot did not import %s; look at its output." % folder)
	var randomizer := Randomizer.new()
	randomizer.streams = streams
	var place := folder.plus_file(_resource_name(paths[0]))
	if ResourceSaver.save(place, randomizer) != OK:
		return _failed("%s cannot be written." % place)
	_files.update_file(place)
	return {"error": "", "randomizer": place, "files": paths}


# The list from which the originals are found again is a .csv, which Godot would take for translations.
static func _keep_manifest_out_of_translations(folder: String) -> void:
	var settings := folder.plus_file("spresso-manifest.csv.import")
	var file := File.new()
	if not file.file_exists(settings) and file.open(settings, File.WRITE) == OK:
		file.store_string("[remap]\n\nimporter=\"keep\"\n")
		file.close()


# Godot imports in its own time, and runs other scripts meanwhile: until it says that it is through, nothing may be
# scanned or loaded.
func _imported(paths: Array) -> Array:
	var end := OS.get_ticks_msec() + PATIENCE_S * 1000
	_reimported = true
	_files.connect("resources_reimported", self, "_on_reimported")
	var streams := []
	var scanned := false
	while streams.empty() and OS.get_ticks_msec() < end:
		yield(_bridge.get_tree(), "idle_frame")
		if _reimported:
			_reimported = false
			streams = _loaded(paths)
		if streams.empty() and not scanned and not _files.is_scanning():
			scanned = true
			_files.scan()
	_files.disconnect("resources_reimported", self, "_on_reimported")
	return streams


func _on_reimported(_resources: PoolStringArray) -> void:
	_reimported = true


func _loaded(paths: Array) -> Array:
	var streams := []
	for path in paths:
		if not File.new().file_exists(path + ".import"):
			return []
	for path in paths:
		var stream = load(path) if ResourceLoader.exists(path) else null
		if not stream is AudioStream:
			return []
		streams.append(stream)
	return streams


# DOORWood_WoodenDoor_JD_LIB_3f2a-s12.wav becomes DOORWood_WoodenDoor_JD_LIB_3f2a.tres
static func _resource_name(path: String) -> String:
	var stem := path.get_file().get_basename()
	var cut := stem.find_last("-s")
	return (stem.left(cut) if cut > 0 else stem) + ".tres"


static func _with_advice(why: String, root: String) -> String:
	if "allow" in why:
		return "%s Allow this project: spresso bridge allow '%s'" % [why, root]
	return why


static func _failed(why: String) -> Dictionary:
	return {"error": why, "randomizer": "", "files": []}
