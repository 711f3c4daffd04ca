tool
extends Reference
# A 16-bit WAV from memory as a stream that plays; null where the bytes are none.

const PCM := 1
const EXTENSIBLE := 0xFFFE


static func parse(bytes: PoolByteArray) -> AudioStreamSample:
	if bytes.size() < 12 or not _is(bytes, 0, "RIFF") or not _is(bytes, 8, "WAVE"):
		return null
	var format_at := -1
	var at := 12
	while at + 8 <= bytes.size():
		var size := _number(bytes, at + 4, 4)
		if at + 8 + size > bytes.size():
			return null
		if _is(bytes, at, "fmt ") and size >= 16:
			format_at = at + 8
		elif _is(bytes, at, "data"):
			return _stream(bytes, format_at, at + 8, size)
		at += 8 + size + size % 2
	return null


static func _stream(bytes: PoolByteArray, format_at: int, data_at: int, size: int) -> AudioStreamSample:
	if format_at < 0 or size == 0:
		return null
	var tag := _number(bytes, format_at, 2)
	var channels := _number(bytes, format_at + 2, 2)
	if not tag in [PCM, EXTENSIBLE] or _number(bytes, format_at + 14, 2) != 16 or not channels in [1, 2]:
		return null
	var stream := AudioStreamSample.new()
	stream.format = AudioStreamSample.FORMAT_16_BITS
	stream.mix_rate = _number(bytes, format_at + 4, 4)
	stream.stereo = channels == 2
	stream.data = bytes.subarray(data_at, data_at + size - 1)
	return stream


static func _is(bytes: PoolByteArray, at: int, name: String) -> bool:
	return bytes.subarray(at, at + 3).get_string_from_ascii() == name


static func _number(bytes: PoolByteArray, at: int, count: int) -> int:
	var value := 0
	for i in range(count):
		value |= bytes[at + i] << (8 * i)
	return value
