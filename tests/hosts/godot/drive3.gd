tool
extends EditorPlugin
# Does in a real editor, without a screen, what a person does in the dock, and says what came of it.


func _enter_tree() -> void:
	call_deferred("_drive")


func _drive() -> void:
	while get_tree().get_nodes_in_group("spresso_dock").empty():
		yield(get_tree(), "idle_frame")
	var dock = get_tree().get_nodes_in_group("spresso_dock")[0]
	while get_editor_interface().get_resource_filesystem().is_scanning():
		yield(get_tree(), "idle_frame")
	for step in OS.get_environment("STEPS").split(";"):
		var words: PoolStringArray = step.split(" ")
		match words[0]:
			"search":
				dock.call_deferred("search", words[1] if words.size() > 1 else "")
				yield(dock, "searched")
				_say("found %d" % dock.results.get_item_count())
			"audition":
				dock.call_deferred("audition", int(words[1]))
				yield(dock, "auditioned")
				var stream = dock._player.stream
				_say("heard %s" % ("nothing" if stream == null else "%d %s %s" % [
					stream.mix_rate, stream.stereo, Marshalls.raw_to_base64(stream.data).md5_text()
				]))
			"import":
				dock.count.value = int(words[2])
				dock.call_deferred("import_sound", int(words[1]))
				var made = yield(dock, "imported")
				_say("imported %s" % made)
			_:
				_say("unknown step %s" % step)
		_say("status %s" % dock.status.text)
	get_tree().quit()


func _say(text: String) -> void:
	print("DROVE " + text)
