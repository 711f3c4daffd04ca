@tool
extends RefCounted
# A 16-bit WAV from memory as a stream that plays; null where the bytes are none. The engine has a reader of its own
# since 4.4 (AudioStreamWAV.load_from_buffer); this one serves all of 4.

const PCM := 1
const EXTENSIBLE := 0xFFFE


static func parse(bytes: PackedByteArray) -> AudioStreamWAV:
	if bytes.size() < 12 or not _is(bytes, 0, "RIFF") or not _is(bytes, 8, "WAVE"):
		return null
	var format_at := -1
	var at := 12
	while at + 8 <= bytes.size():
		var size := bytes.decode_u32(at + 4)
		if at + 8 + size > bytes.size():
			return null
		if _is(bytes, at, "fmt ") and size >= 16:
			format_at = at + 8
		elif _is(bytes, at, "data"):
			return _stream(bytes, format_at, at + 8, size)
		at += 8 + size + size % 2
	return null


static func _stream(bytes: PackedByteArray, format_at: int, data_at: int, size: int) -> AudioStreamWAV:
	if format_at < 0 or size == 0:
		return null
	var tag := bytes.decode_u16(format_at)
	var channels := bytes.decode_u16(format_at + 2)
	if not tag in [PCM, EXTENSIBLE] or bytes.decode_u16(format_at + 14) != 16 or not channels in [1, 2]:
		return null
	var stream := AudioStreamWAV.new()
	stream.format = AudioStreamWAV.FORMAT_16_BITS
	stream.mix_rate = bytes.decode_u32(format_at + 4)
	stream.stereo = channels == 2
	stream.data = bytes.slice(data_at, data_at + size)
	return stream


static func _is(bytes: PackedByteArray, at: int, name: String) -> bool:
	return bytes.slice(at, at + 4).get_string_from_ascii() == name
