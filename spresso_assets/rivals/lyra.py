"""SoundStream as it was released: the networks of Lyra v2 (Apache-2.0), run by LiteRT from a local folder.

16 kHz, mono, frames of 20 ms: an encoder gives 64 numbers a frame, a residual quantizer up to 46 codes of 4 bits, and
a generator makes 320 samples of what they say. 16, 30 and 46 codes are the released rates of 3.2, 6 and 9.2 kbit/s.
The networks keep a state from frame to frame, so every sound begins with fresh ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.rivals.codes import pack_codes, unpack_codes
from spresso_assets.rivals.interface import Audio, Head, Point, nearest, pack, point_of, unpack

SYSTEM = 5
FRAME = 320
CODE_BITS = 4
CODES = (16, 30, 46)
ALL_CODES = 46
FILES = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")


class Lyra:
    """Lyra v2.

    Args:
        folder: with the three networks named in `FILES`.

    Raises:
        SpressoError: ``rival_missing`` without them, or without LiteRT.
    """

    name = "lyra"
    sample_rate = 16_000
    channels = (1,)

    def __init__(self, folder: Path) -> None:
        missing = [file for file in FILES if not (folder / file).is_file()]
        if missing:
            raise SpressoError(
                f"{folder} has no {missing[0]}",
                code="rival_missing",
                hint="Name the folder of Lyra v2's released networks: --weights lyra=FOLDER.",
                exit_code=ExitCode.MODEL_MISSING,
            )
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise SpressoError(
                "Lyra's networks need LiteRT",
                code="rival_missing",
                hint="Install it: pip install ai-edge-litert.",
                exit_code=ExitCode.MODEL_MISSING,
            ) from error
        self._folder, self._interpreter = folder, Interpreter

    def points(self) -> list[Point]:
        """The three released rates."""
        return [Point(f"lyra {count * CODE_BITS * 50 / 1000:g} kbps", count * CODE_BITS * 50 / 1000) for count in CODES]

    def encode(self, audio_CN: Audio, kbps: float) -> bytes:
        """See `interface.Codec`; several channels are coded one after the other."""
        point = nearest(self.points(), kbps)
        channels, samples = audio_CN.shape
        frames = -(-samples // FRAME)
        padded_CN = np.zeros((channels, frames * FRAME), np.float32)
        padded_CN[:, :samples] = audio_CN
        codes_CFM = np.stack([self._codes(signal_N, CODES[point]) for signal_N in padded_CN])
        return pack(SYSTEM, Head(samples, channels, point), pack_codes(codes_CFM, CODE_BITS))

    def decode(self, data: bytes) -> Audio:
        """See `interface.Codec`."""
        head, body = unpack(data, SYSTEM, self.name)
        point_of(self.points(), head, self.name)
        frames, count = -(-head.samples // FRAME), CODES[head.point]
        codes_CFM = unpack_codes(body, (head.channels, frames, count), CODE_BITS, self.name)
        return np.stack([self._sound(codes_FM) for codes_FM in codes_CFM])[:, : head.samples]

    def _codes(self, signal_N: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int32]:
        encoder = self._open("soundstream_encoder.tflite")
        heard, told = encoder.get_input_details()[0]["index"], encoder.get_output_details()[0]["index"]
        quantize = self._open("quantizer.tflite").get_signature_runner("encode")
        codes_FM = np.zeros((len(signal_N) // FRAME, count), np.int32)
        for number, frame_N in enumerate(signal_N.reshape(-1, FRAME)):
            encoder.set_tensor(heard, frame_N[None])
            encoder.invoke()
            features_11D = encoder.get_tensor(told)
            found = quantize(input_frames=features_11D, num_quantizers=np.array(count, np.int32))
            codes_FM[number] = found["output_0"].reshape(-1)[:count]
        return codes_FM

    def _sound(self, codes_FM: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        dequantize = self._open("quantizer.tflite").get_signature_runner("decode")
        generator = self._open("lyragan.tflite")
        heard, told = generator.get_input_details()[0]["index"], generator.get_output_details()[0]["index"]
        signal_FN = np.zeros((len(codes_FM), FRAME), np.float32)
        for number, codes_M in enumerate(codes_FM):
            indices = np.full((ALL_CODES, 1, 1), -1, np.int32)  # what was not sent
            indices[: len(codes_M), 0, 0] = codes_M
            (features_11D,) = dequantize(encoding_indices=indices).values()
            generator.set_tensor(heard, features_11D)
            generator.invoke()
            signal_FN[number] = generator.get_tensor(told)[0]
        return signal_FN.reshape(-1)

    def _open(self, file: str) -> Any:
        interpreter = self._interpreter(str(self._folder / file), num_threads=1)
        interpreter.allocate_tensors()
        return interpreter
