tool
class_name SpressoRandomizer
extends Resource
# Variations of one sound. `pick` never gives the same one twice in a row:
#
#     onready var steps: SpressoRandomizer = preload("res://sounds/gravel.tres")
#     steps.play_on($AudioStreamPlayer3D)
#
# Needs nothing but itself and the streams: exported games hold both, and know nothing of the bridge.

export(Array, AudioStream) var streams := []
# Each play is this much higher or lower at most, as a factor; 1 leaves the pitch alone.
export(float, 1.0, 2.0) var random_pitch := 1.0

var _last := -1
var _random := RandomNumberGenerator.new()


func _init() -> void:
	_random.randomize()


func pick() -> AudioStream:
	if streams.empty():
		return null
	_last = _other_than(_last)
	return streams[_last]


# For AudioStreamPlayer, AudioStreamPlayer2D and AudioStreamPlayer3D.
func play_on(player: Node) -> void:
	player.stream = pick()
	player.pitch_scale = pow(random_pitch, _random.randf_range(-1.0, 1.0))
	player.play()


func _other_than(last: int) -> int:
	if last < 0 or last >= streams.size() or streams.size() == 1:
		return _random.randi_range(0, streams.size() - 1)
	var chosen := _random.randi_range(0, streams.size() - 2)
	return chosen if chosen < last else chosen + 1
