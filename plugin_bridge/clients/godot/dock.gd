@tool
extends VBoxContainer
# The dock: search, hear, import.

signal searched
signal auditioned
signal imported(randomizer: String)

const Bridge := preload("bridge.gd")
const Importer := preload("importer.gd")
const Wav := preload("wav.gd")

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
	query.text_submitted.connect(search)
	results.size_flags_vertical = SIZE_EXPAND_FILL
	results.custom_minimum_size = Vector2(200, 160)
	results.item_activated.connect(audition)
	add_child(query)
	add_child(results)
	var row := HBoxContainer.new()
	row.add_child(_button("Hear another", _audition_selected))
	row.add_child(_button("Import", _import_selected))
	count.min_value = 1
	count.max_value = 32
	count.value = 4
	count.suffix = "variations"
	row.add_child(count)
	add_child(row)
	folder.text = "res://sounds"
	folder.tooltip_text = "Where imported variations go"
	add_child(folder)
	status.autowrap_mode = TextServer.AUTOWRAP_WORD_SMART
	add_child(status)
	say("Double-click a sound to hear it, again for another variation.")


func say(text: String) -> void:
	status.text = text


func search(words: String) -> void:
	_asked += 1
	var mine := _asked
	var answer: Dictionary = await bridge.search(words)
	if mine != _asked:
		return  # a newer search is under way
	results.clear()
	_sounds = []
	if answer["error"] == "":
		_sounds = answer["json"]["items"]
		for sound: Dictionary in _sounds:
			var row := results.add_item("%s  %.1f s" % [sound["name"], sound["duration_s"]])
			results.set_item_tooltip(row, "%s\n%s" % [sound["filename"], sound["description"]])
		say("%d of %d sounds" % [_sounds.size(), answer["json"]["total"]])
	else:
		say(answer["error"])
	searched.emit()


# Plays the sound; another variation each time.
func audition(index: int) -> void:
	var sound: Dictionary = _sounds[index]
	var seeds: Array = await _seeds_of(sound)
	if not seeds.is_empty():
		var turn: int = _heard.get(sound["id"], 0)
		_heard[sound["id"]] = turn + 1
		var url := "/v1/sounds/%s/audio.wav?q=preview&seed=%d" % [sound["id"], seeds[turn % seeds.size()]]
		var answer: Dictionary = await bridge.audition(url)
		var stream: AudioStreamWAV = Wav.parse(answer["body"])
		if stream == null:
			say(answer["error"] if answer["error"] != "" else "The bridge sent what is no sound.")
		else:
			_player.stream = stream
			_player.play()
			say("%s, variation %d" % [sound["name"], turn % seeds.size() + 1])
	auditioned.emit()


# Variations into the project, as many as the field says.
func import_sound(index: int) -> void:
	if _importing:
		say("One import at a time.")
		return
	_importing = true
	var sound: Dictionary = _sounds[index]
	var made := {"error": "", "randomizer": ""}
	var seeds: Array = await _seeds_of(sound)
	if not seeds.is_empty():
		say("Decoding and importing %s ..." % sound["name"])
		var importer := Importer.new(bridge, EditorInterface.get_resource_filesystem())
		made = await importer.import_sound(sound, seeds.slice(0, int(count.value)), folder.text)
		say(made["error"] if made["error"] != "" else "Imported: %s" % made["randomizer"])
	_importing = false
	imported.emit(made["randomizer"])


# Empty where they could not be had; the status then says why.
func _seeds_of(sound: Dictionary) -> Array:
	if not _seeds.has(sound["id"]):
		var answer: Dictionary = await bridge.variations(sound["id"], int(count.max_value))
		if answer["error"] != "":
			say(answer["error"])
			return []
		var seeds := []
		for item: Dictionary in answer["json"]["items"]:
			seeds.append(int(item["seed"]))
		_seeds[sound["id"]] = seeds
	return _seeds[sound["id"]]


func _audition_selected() -> void:
	for index in results.get_selected_items():
		audition(index)


func _import_selected() -> void:
	for index in results.get_selected_items():
		import_sound(index)


func _button(text: String, pressed: Callable) -> Button:
	var button := Button.new()
	button.text = text
	button.pressed.connect(pressed)
	return button
