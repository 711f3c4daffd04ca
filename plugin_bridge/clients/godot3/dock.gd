tool
extends VBoxContainer
# The dock: search, hear, import.

const Bridge := preload("bridge.gd")
const Importer := preload("importer.gd")
const Wav := preload("wav.gd")

signal searched
signal auditioned
signal imported(randomizer)

var editor: EditorInterface

var bridge := Bridge.new()
var query := LineEdit.new()
var results := ItemList.new()
var count := SpinBox.new()
var folder := LineEdit.new()
var status := Label.new()

var _player := AudioStreamPlayer.new()
var _sounds := []
var _seeds := {}  # id -> the seed of each variation
var _heard := {}  # id -> how many were auditioned
var _asked := 0
var _importing := false


func _ready() -> void:
	add_to_group("spresso_dock")
	add_child(bridge)
	add_child(_player)
	query.placeholder_text = "Search: gravel footsteps"
	query.connect("text_entered", self, "search")
	results.size_flags_vertical = SIZE_EXPAND_FILL
	results.rect_min_size = Vector2(200, 160)
	results.connect("item_activated", self, "audition")
	add_child(query)
	add_child(results)
	var row := HBoxContainer.new()
	row.add_child(_button("Hear another", "_audition_selected"))
	row.add_child(_button("Import", "_import_selected"))
	count.min_value = 1
	count.max_value = 32
	count.value = 4
	count.suffix = "variations"
	row.add_child(count)
	add_child(row)
	folder.text = "res://sounds"
	folder.hint_tooltip = "Where imported variations go"
	add_child(folder)
	status.autowrap = true
	add_child(status)
	say("Double-click a sound to hear it, again for another variation.")


func say(text: String) -> void:
	status.text = text


func search(words: String) -> void:
	_asked += 1
	var mine := _asked
	var answer: Dictionary = yield(bridge.search(words), "completed")
	if mine != _asked:
		return  # a newer search is under way
	results.clear()
	_sounds = []
	if answer["error"] == "":
		_sounds = answer["json"]["items"]
		for sound in _sounds:
			results.add_item("%s  %.1f s" % [sound["name"], sound["duration_s"]])
			results.set_item_tooltip(results.get_item_count() - 1, _facts(sound))
		say("%d of %d sounds" % [_sounds.size(), answer["json"]["total"]])
	else:
		say(answer["error"])
	emit_signal("searched")


# Plays the sound; another variation each time.
func audition(index: int) -> void:
	var sound: Dictionary = _sounds[index]
	var seeds = yield(_seeds_of(sound, int(count.max_value)), "completed")
	if not seeds.empty():
		var turn: int = _heard.get(sound["id"], 0)
		_heard[sound["id"]] = turn + 1
		var url: String = "/v1/sounds/%s/audio.wav?q=preview&seed=%d" % [sound["id"], seeds[turn % seeds.size()]]
		var answer: Dictionary = yield(bridge.audition(url), "completed")
		var stream: AudioStreamSample = null
		if answer["error"] == "":
			stream = Wav.parse(answer["body"])
		if stream == null:
			say(answer["error"] if answer["error"] != "" else "The bridge sent what is no sound.")
		else:
			_player.stream = stream
			_player.play()
			say("%s, variation %d" % [sound["name"], turn % seeds.size() + 1])
	emit_signal("auditioned")


# Variations into the project, as many as the field says.
func import_sound(index: int) -> void:
	if _importing:
		say("One import at a time.")
		return
	_importing = true
	var sound: Dictionary = _sounds[index]
	var made := {"error": "", "randomizer": ""}
	var seeds = yield(_seeds_of(sound, int(count.max_value)), "completed")
	if not seeds.empty():
		say("Decoding and importing %s ..." % sound["name"])
		var importer := Importer.new(bridge, editor.get_resource_filesystem())
		made = yield(importer.import_sound(sound, seeds.slice(0, int(count.value) - 1), folder.text), "completed")
		say(made["error"] if made["error"] != "" else "Imported: %s" % made["randomizer"])
	_importing = false
	emit_signal("imported", made["randomizer"])


# Empty where they could not be had; the status then says why.
func _seeds_of(sound: Dictionary, most: int) -> Array:
	if _seeds.has(sound["id"]):
		yield(get_tree(), "idle_frame")
		return _seeds[sound["id"]]
	var answer: Dictionary = yield(bridge.variations(sound["id"], most), "completed")
	if answer["error"] != "":
		say(answer["error"])
		return []
	var seeds := []
	for item in answer["json"]["items"]:
		seeds.append(int(item["seed"]))
	_seeds[sound["id"]] = seeds
	return seeds


func _audition_selected() -> void:
	for index in results.get_selected_items():
		audition(index)


func _import_selected() -> void:
	for index in results.get_selected_items():
		import_sound(index)


func _button(text: String, method: String) -> Button:
	var button := Button.new()
	button.text = text
	button.connect("pressed", self, method)
	return button


static func _facts(sound: Dictionary) -> String:
	return "%s\n%s" % [sound["filename"], sound["description"]]
