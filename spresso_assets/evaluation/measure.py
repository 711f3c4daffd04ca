"""Measure a bundle: encode and decode sounds at many points, compare each decode with its source, time both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spresso_assets.codec.bitstream import read_header
from spresso_assets.codec.config import HOP, SAMPLE_RATE
from spresso_assets.codec.level import LevelMeter, linear_gain
from spresso_assets.codec.noise import WAVEFORM_STREAM, frame_noise
from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.embedding import embed
from spresso_assets.evaluation.metrics import aligned, compare, diversity, mel_distance
from spresso_assets.evaluation.points import (
    CODEC,
    MEAN_SPECTRUM,
    OTHER_SOUND,
    REFERENCE_QUALITY,
    Point,
    decode_options,
    evaluations,
    takes,
)
from spresso_assets.evaluation.records import Record, Records, finite, packed
from spresso_assets.evaluation.sounds import Sound, unfit
from spresso_assets.evaluation.summary import SOURCE, Summary, summarise
from spresso_assets.evaluation.systems import mono48
from spresso_assets.evaluation.timing import stopwatch

if TYPE_CHECKING:
    from spresso_assets.codec.codec import SPresso

Mono = NDArray[np.float32]
Skip = Callable[[str, SpressoError], None]


def measure(
    codec: SPresso,
    sounds: Iterable[Sound],
    points: Sequence[Point],
    *,
    seed: int = 0,
    records: Records | None = None,
    skip: Skip | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> Summary:
    """Measure ``codec`` on ``sounds`` at ``points``.

    Args:
        sounds: (name, float32 [C, N] at any rate, rate) each. What is compared is the mean of the channels at 48 kHz.
        seed: of every decode; diversity takes the ones after it.
        records: where finished work is kept and looked up; by default in memory.
        skip: told of each sound that is silent or shorter than 50 ms, which say nothing of quality.
        progress: told how many sounds are done, and the name of the one in work.

    Raises:
        SpressoError: ``unknown_point``, ``no_quantizer``, ``unknown_quality``, before anything is measured.
    """
    for point in points:
        if point.profile:
            codec.operating_point(point.profile)
        if point.quality:
            decode_options(point.quality)
    store = Records(conditions(codec, seed)) if records is None else records
    bench = _Bench(codec, seed)
    before: Sound | None = None
    done = 0
    names: set[str] = set()
    for sound in sounds:
        if progress is not None:
            progress(done, sound[0])
        if (fault := unfit(sound)) is not None:
            if skip is not None:
                skip(sound[0], fault)
            continue
        wanted = [p for p in points if p.limit is None or done < p.limit]
        for record in _measure_sound(bench, sound, before, wanted, store):
            store.add(record)
        names.add(sound[0])
        before = sound
        done += 1
    if progress is not None:
        progress(done, "")
    return summarise(store.conditions, [r for r in store.all() if r["sound"] in names], points)


def conditions(codec: SPresso, seed: int, seconds: float | None = None) -> dict[str, Any]:
    """What figures depend on besides the sounds: they may only be compared, or go on, where it is the same."""
    import torch

    from spresso_assets.codec.precision import has_fast_bf16

    device = codec.networks.device
    return {
        "bundle": codec.name,
        "weights_sha256": codec.weights_sha256,
        "seed": seed,
        "seconds": seconds,
        "device": device.type,
        "precision": "bfloat16" if has_fast_bf16(device) else "float32",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.partition("+")[0],
    }


def _measure_sound(
    bench: _Bench, sound: Sound, before: Sound | None, points: Sequence[Point], store: Records
) -> Iterator[Record]:
    """What is still missing of one sound."""
    name, audio_CN, rate = sound
    reference_N = mono48(audio_CN, rate)
    if before is None:
        points = [p for p in points if p.method != OTHER_SOUND]
    against_paper = {p.profile for p in points if p.method == CODEC and p.quality == REFERENCE_QUALITY}
    if store.get((name, SOURCE, "", "")) is None:
        yield {**_head(sound, Point(method=SOURCE)), "embedding": packed(embed(aligned(reference_N, reference_N)[0]))}
    for profile in dict.fromkeys(p.profile for p in points):
        group = [p for p in points if p.profile == profile and not _complete(store, name, p, against_paper)]
        if not group:
            continue
        if not profile:
            for point in group:
                decoded_N = bench.without_code(reference_N, point.method)
                yield _record(sound, point, decoded_N, reference_N)
            continue
        payload, encoding = bench.encode(audio_CN, rate, profile)
        ideal = bench.decode(payload, REFERENCE_QUALITY) if profile in against_paper else None
        for point in group:
            if point.method == OTHER_SOUND and before is not None:
                yield _record(sound, point, bench.other_sound(payload, before, reference_N, point), reference_N)
                continue
            if (count := takes(point.quality)) > 1:
                chosen, choosing = bench.encode(audio_CN, rate, profile, count)
                decoded_N, decoding = bench.decode(chosen, point.quality, None)
                yield _coded(_record(sound, point, decoded_N, reference_N), bench, chosen, choosing | decoding)
                continue
            known = ideal if point.quality == REFERENCE_QUALITY else None
            decoded_N, decoding = known or bench.decode(payload, point.quality)
            record = _coded(_record(sound, point, decoded_N, reference_N), bench, payload, encoding | decoding)
            if ideal is not None:
                record["to_paper"] = round(mel_distance(*_by_source(decoded_N, ideal[0], reference_N)), 6)
            if point.seeds > 1:
                more = [bench.decode(payload, point.quality, n)[0] for n in range(1, point.seeds)]
                heard = [aligned(take_N, reference_N)[0] for take_N in (decoded_N, *more)]
                record["diversity"] = round(diversity(heard), 6)
            yield record


def _complete(store: Records, name: str, point: Point, against_paper: set[str]) -> bool:
    record = store.get((name, *point.key))
    if record is None:
        return False
    wants_paper = point.method == CODEC and point.profile in against_paper and takes(point.quality) == 1
    return (not wants_paper or "to_paper" in record) and (point.seeds < 2 or "diversity" in record)


def _head(sound: Sound, point: Point) -> Record:
    name, audio_CN, rate = sound
    method, profile, quality = point.key
    seconds = audio_CN.shape[1] / rate
    return {"sound": name, "method": method, "profile": profile, "quality": quality, "seconds": round(seconds, 6)}


def _record(sound: Sound, point: Point, decoded_N: Mono, reference_N: Mono) -> Record:
    figures = finite(compare(decoded_N, reference_N))
    return {
        **_head(sound, point),
        "metrics": figures,
        "embedding": packed(embed(aligned(decoded_N, reference_N)[0])),
    }


def _coded(record: Record, bench: _Bench, payload: bytes, times: Record) -> Record:
    return record | {"bytes": len(payload), "evaluations": bench.evaluations(record["quality"]), **times}


def _by_source(decoded_N: Mono, ideal_N: Mono, reference_N: Mono) -> tuple[Mono, Mono]:
    """Two decodes at the scale at which both are compared with their source."""
    return aligned(decoded_N, reference_N)[0], aligned(ideal_N, reference_N)[0]


class _Bench:
    """The codec with a stopwatch, and the decoders that bound it from above and below."""

    def __init__(self, codec: SPresso, seed: int) -> None:
        self.codec, self.seed = codec, seed
        self._warm = False

    def encode(self, audio_CN: Mono, rate: int, profile: str, best_of: int = 1) -> tuple[bytes, Record]:
        if not self._warm:
            # The first call of a process pays for what later ones find ready.
            self._warm = True
            self.codec.decode(self.codec.encode(audio_CN, rate, profile), self.seed)
        times: Record = {}
        with stopwatch(times, "encode"):
            payload = self.codec.encode(audio_CN, rate, profile, best_of=best_of)
        return payload, times

    def decode(self, payload: bytes, quality: str, take: int | None = 0) -> tuple[Mono, Record]:
        """Decode with the bench's seed, or one of those after it; None takes the seed that the stream stores."""
        name, steps = decode_options(quality)
        times: Record = {}
        with stopwatch(times, "decode"):
            audio_CN, rate = self.codec.decode(payload, None if take is None else self.seed + take, steps, name)
        return mono48(audio_CN, rate), times

    def evaluations(self, quality: str) -> int:
        return evaluations(quality, self.codec.config.student)

    def without_code(self, reference_N: Mono, method: str) -> Mono:
        """The AudioAE's decoder on the true x0, or on its mean."""
        import torch

        networks = self.codec.networks
        meter = LevelMeter()
        meter.add(reference_N[None])
        gain = linear_gain(meter.gain_steps())
        padded_N = np.pad(reference_N * np.float32(gain), (0, -len(reference_N) % HOP))
        with torch.inference_mode():
            x0_BTC = networks.autoencoder.encode(torch.from_numpy(padded_N[None]).to(networks.device))
            if method == MEAN_SPECTRUM:
                x0_BTC = torch.zeros_like(x0_BTC)
            noise_TW = frame_noise(self.seed, WAVEFORM_STREAM, 0, x0_BTC.shape[1], HOP)
            noise_BN = torch.from_numpy(noise_TW).reshape(1, -1).to(networks.device)
            decoded_N: Mono = networks.autoencoder.decode(x0_BTC, noise_BN)[0].cpu().numpy()
        return decoded_N[: len(reference_N)] / np.float32(gain)

    def other_sound(self, payload: bytes, other: Sound, reference_N: Mono, point: Point) -> Mono:
        """The code of ``other``, repeated to the length of the reference, decoded at the reference's level."""
        other_n = mono48(other[1], other[2])
        looped_N = np.resize(other_n, len(reference_N))
        stream = self.codec.encode(looped_N[None], SAMPLE_RATE, point.profile)
        decoded_N = self.decode(stream, point.quality)[0]
        return decoded_N * np.float32(10 ** ((read_header(payload).gain_db - read_header(stream).gain_db) / 20))
