"""Recipes for hits, blasts, machines and interfaces. How a recipe is made stands in `recipe_book.py`."""

from __future__ import annotations

import numpy as np

from spresso_assets.audio.ingredients import (
    SAMPLE_RATE,
    Rng,
    Signal,
    bandpass,
    decay,
    harmonics,
    log_uniform,
    noise,
    place,
    resonance,
    ring,
    room,
    scatter,
    sculpt,
    seconds_to_samples,
    swell,
    timeline,
    tone,
    unit_peak,
    unit_rms,
    wander,
)
from spresso_assets.audio.recipe_book import recipe

# --- Hits, breaks and blasts ------------------------------------------------------------------------------------------


@recipe("a metal object is struck and rings", (0.8, 4.0))
def impact_metal(rng: Rng, n: int) -> Signal:
    count = int(rng.integers(10, 26))
    base = log_uniform(rng, 110, 1400)
    # Bars space their modes as (2k+1)^2, plates more densely: stretch is drawn between the two.
    modes = base * (1 + np.arange(count) * rng.uniform(0.6, 1.6)) ** rng.uniform(0.8, 1.5) * rng.normal(1, 0.02, count)
    times = rng.uniform(0.4, 4.0) * (base / modes) ** rng.uniform(0.1, 0.6) * rng.uniform(0.5, 1.5, count)
    amplitudes = rng.uniform(0.2, 1.0, count) * (base / modes) ** rng.uniform(0.0, 0.5)
    y = ring(n, modes, times, amplitudes, 0.01)
    y += ring(n, modes * rng.normal(1, 0.0015, count), times, 0.6 * amplitudes, 0.01)
    y += rng.uniform(0.3, 2.0) * bandpass(noise(rng, n), 800, 12_000) * decay(n, 0.0003, 0.02, 0.01)
    return room(rng, y, rng.uniform(0.3, 1.5), rng.uniform(0.1, 0.5), 9000)


@recipe("a blow on wood, a short dull knock", (0.4, 1.2))
def impact_wood(rng: Rng, n: int) -> Signal:
    y = np.zeros(n)
    base = log_uniform(rng, 110, 700)
    modes = base * np.array([1.0, 1.55, 2.4, 3.3, 4.7, 6.2, 8.5]) * rng.normal(1, 0.05, 7)
    for k in range(int(rng.integers(1, 4))):
        at = 0.01 + k * rng.uniform(0.13, 0.28)
        gain = rng.uniform(0.5, 1.0)
        y += gain * ring(n, modes, rng.uniform(0.06, 0.25) / (1 + 0.4 * np.arange(7)), 0.75 ** np.arange(7), at)
        y += gain * 0.5 * bandpass(noise(rng, n), 500, 5000) * decay(n, 0.0004, 0.012, at)
    return room(rng, y, rng.uniform(0.15, 0.6), rng.uniform(0.1, 0.5), 5000)


@recipe("a heavy cinematic impact, deep boom", (1.5, 4.0))
def impact_boom(rng: Rng, n: int) -> Signal:
    t = timeline(n)
    low = log_uniform(rng, 28, 60)
    sub = tone(low * (1 + rng.uniform(1.0, 5.0) * np.exp(-t / rng.uniform(0.03, 0.12)))) * decay(
        n, 0.002, rng.uniform(0.8, 3.0)
    )
    hit = bandpass(noise(rng, n), 80, log_uniform(rng, 1500, 7000)) * decay(n, 0.001, rng.uniform(0.1, 0.5))
    grit = np.tanh(rng.uniform(1.0, 4.0) * (sub + 0.7 * hit))
    return room(rng, grit, rng.uniform(1.0, 3.0), rng.uniform(0.3, 1.0), 3500)


@recipe("glass shatters, shards tinkle down", (0.8, 3.0))
def glass(rng: Rng, n: int) -> Signal:
    y = 0.8 * unit_peak(bandpass(noise(rng, n), 2500, 16_000) * decay(n, 0.0005, rng.uniform(0.06, 0.25), 0.01))
    base = log_uniform(rng, 1800, 4500)
    fall = rng.uniform(0.15, 0.5) * n / SAMPLE_RATE
    for _ in range(int(rng.integers(25, 90))):
        start = 0.01 + rng.exponential(fall) * rng.random()
        modes = base * rng.lognormal(0.3, 0.45) * np.array([1.0, 1.61, 2.43, 3.31])
        ringing = rng.uniform(0.03, 0.35)
        y += rng.lognormal(-2.2, 0.6) * ring(
            n, modes, ringing * np.array([1, 0.8, 0.6, 0.4]), rng.uniform(0.2, 1, 4), start
        )
    return room(rng, y, rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.4), 12_000)


@recipe("an explosion, blast and falling debris", (2.0, 5.0))
def explosion(rng: Rng, n: int) -> Signal:
    start = 0.01
    size = rng.uniform(0.3, 1.0)
    falling = log_uniform(rng, 2.0, 6.0)
    blast = sculpt(
        noise(rng, n, -2.0), lambda f, t: 1 / (1 + (f / (90 + 5000 * np.exp(-falling * np.maximum(t, 0)))) ** 2)
    )
    y = np.tanh(4 * unit_peak(blast * decay(n, 0.004, 1.0 + 2.5 * size, start)))
    y += size * tone(40 + 60 * np.exp(-8 * timeline(n))) * decay(n, 0.005, 1.5 * size, start)
    debris = bandpass(scatter(rng, n, log_uniform(rng, 30, 200), 1.2), 700, 7000)
    y += 0.25 * unit_peak(debris) * swell(n, rng.uniform(0.2, 0.4), 2.0)
    return room(rng, y, rng.uniform(1.0, 3.0), rng.uniform(0.2, 0.8), 3500)


@recipe("a gunshot with a distant echo", (1.0, 3.0))
def gunshot(rng: Rng, n: int) -> Signal:
    crack = bandpass(noise(rng, n), 300, 14_000, 1) * decay(n, 0.0002, rng.uniform(0.03, 0.12), 0.008)
    body = bandpass(noise(rng, n), 60, log_uniform(rng, 400, 1200)) * decay(n, 0.001, rng.uniform(0.12, 0.35), 0.009)
    y = np.tanh(rng.uniform(2, 6) * (unit_peak(crack) + unit_peak(body)))
    for _ in range(int(rng.integers(1, 5))):
        far = bandpass(y, 80, log_uniform(rng, 700, 2500), 1)
        lag = rng.uniform(0.08, 0.6)
        place(y, far.copy(), lag, 0.25 * np.exp(-2 * lag))
    return room(rng, y, rng.uniform(0.5, 2.5), rng.uniform(0.15, 0.7), 4000)


# --- Air, engines and electricity -------------------------------------------------------------------------------------


@recipe("a whoosh, something swishes past", (0.4, 1.8))
def whoosh(rng: Rng, n: int) -> Signal:
    peak_at = rng.uniform(0.35, 0.7)
    envelope = swell(n, peak_at, rng.uniform(1.5, 4.0))
    low, high = log_uniform(rng, 150, 600), log_uniform(rng, 900, 5000)
    width = rng.uniform(0.35, 1.1)
    times = timeline(n)

    def gain(f: Signal, t: Signal) -> Signal:
        centre = low * (high / low) ** np.interp(t, times, envelope)
        return resonance(f, centre, width)

    y = unit_peak(sculpt(noise(rng, n), gain) * envelope)
    # Equal-power pan from one side to the other as it passes.
    side = np.linspace(0, 1, n) if rng.random() < 0.5 else np.linspace(1, 0, n)
    angle = 0.5 * np.pi * np.clip(0.5 + (side - peak_at) * rng.uniform(0.2, 1.4), 0, 1)
    return np.stack([y * np.cos(angle), y * np.sin(angle)])


@recipe("an engine running, throttle up and down", (3.0, 7.0))
def engine(rng: Rng, n: int) -> Signal:
    throttle = np.clip(0.4 + 0.5 * wander(rng, n, rng.uniform(0.3, 1.0)), 0.05, 1.0)
    firing = log_uniform(rng, 14, 45) * (1 + rng.uniform(0.3, 2.5) * throttle)
    firing *= 1 + 0.01 * wander(rng, n, 20)
    # Cylinders differ: sub-harmonics of the firing rate make the roughness.
    cylinders = int(rng.integers(2, 7))
    count = int(min(24 * cylinders, 160))
    roll_off = rng.uniform(0.7, 1.3)
    order = np.arange(1, count + 1)
    amplitudes = order**-roll_off * np.where(order % cylinders == 0, 1.0, rng.uniform(0.05, 0.35, count))
    y = unit_rms(harmonics(firing / cylinders * 2, amplitudes))
    pulse = np.clip(tone(firing), 0, None) ** 2
    y += rng.uniform(0.15, 0.6) * unit_rms(bandpass(noise(rng, n), 150, 4000, 1) * pulse)
    y = np.tanh(rng.uniform(0.6, 1.6) * y) * (0.4 + 0.6 * throttle)
    exhaust = log_uniform(rng, 90, 260)
    return bandpass(y, 30, 9000, 1) + 0.8 * bandpass(y, exhaust * 0.8, exhaust * 1.3, 1)


@recipe("a laser shot, science-fiction zap", (0.3, 1.2))
def laser(rng: Rng, n: int) -> Signal:
    t = timeline(n)
    top, bottom = log_uniform(rng, 1200, 9000), log_uniform(rng, 60, 500)
    speed = log_uniform(rng, 4, 25)
    pitch = bottom + (top - bottom) * np.exp(-speed * t)
    modulation = rng.uniform(0.0, 3.0) * np.sin(2 * np.pi * np.cumsum(pitch * rng.uniform(0.25, 2.0)) / SAMPLE_RATE)
    carrier = np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE + modulation)
    wobble = 1 + rng.uniform(0, 0.7) * np.sin(2 * np.pi * log_uniform(rng, 12, 70) * t)
    y = carrier * wobble * decay(n, 0.002, n / SAMPLE_RATE * rng.uniform(0.6, 1.0))
    if rng.random() < 0.5:
        y += 0.3 * bandpass(noise(rng, n), 2000, 12_000) * decay(n, 0.001, 0.06)
    return room(rng, y, rng.uniform(0.2, 0.8), rng.uniform(0.0, 0.4))


@recipe("an electric spark, arcing and buzzing", (0.8, 3.0))
def electric_spark(rng: Rng, n: int) -> Signal:
    mains = rng.choice((50.0, 60.0))
    t = timeline(n)
    gate = (wander(rng, n, rng.uniform(6, 25)) > rng.uniform(-0.3, 0.3)).astype(float)
    gate = np.convolve(gate, np.full(96, 1 / 96))[:n]
    arc = bandpass(scatter(rng, n, 3000, 1.0), 1200, 16_000, 1) * np.abs(np.sin(2 * np.pi * mains * t))
    hum = harmonics(np.full(n, 2 * mains), 1 / np.arange(1, 20) ** 0.7)
    return (np.tanh(unit_rms(arc)) + rng.uniform(0.05, 0.2) * unit_peak(hum)) * (0.03 + gate)


@recipe("a machine hums, steady drone of a motor", (3.0, 7.0))
def machine_hum(rng: Rng, n: int) -> Signal:
    base = log_uniform(rng, 40, 180)
    pitch = base * (1 + 0.004 * wander(rng, n, 1.5))
    amplitudes = rng.uniform(0.1, 1.0, 30) / np.arange(1, 31) ** rng.uniform(0.5, 1.5)
    y = unit_rms(harmonics(pitch, amplitudes)) * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.7, 8) * timeline(n)))
    air = unit_rms(bandpass(noise(rng, n, -3.0), 150, log_uniform(rng, 1500, 8000), 1))
    return np.stack([y + rng.uniform(0.1, 0.7) * air, y + rng.uniform(0.1, 0.7) * np.roll(air, 997)])


@recipe("a siren, an alarm that rises and falls", (2.0, 5.0))
def alarm(rng: Rng, n: int) -> Signal:
    t = timeline(n)
    low = log_uniform(rng, 400, 1100)
    ratio = rng.uniform(1.15, 2.2)
    cycle = rng.uniform(0.4, 4.0) * t % 1.0
    shape = rng.choice(("sweep", "two_tone", "rise"))
    if shape == "sweep":
        position = 0.5 - 0.5 * np.cos(2 * np.pi * cycle)
    elif shape == "two_tone":
        position = (cycle > 0.5).astype(float)
    else:
        position = cycle
    amplitudes = 1 / np.arange(1, 12) ** rng.uniform(0.8, 2.5)
    y = harmonics(low * ratio**position, amplitudes)
    return room(rng, y, rng.uniform(0.3, 1.5), rng.uniform(0.1, 0.6))


# --- Bells and interface sounds ---------------------------------------------------------------------------------------


@recipe("a bell rings", (1.5, 5.0))
def bell(rng: Rng, n: int) -> Signal:
    strike = log_uniform(rng, 180, 1600)
    # Partials of a tuned church bell: hum, prime, minor third, quint, nominal and above.
    partials = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.3, 6.7]) * rng.normal(1, 0.006, 11)
    times = rng.uniform(1.5, 6.0) * np.array([1.4, 1.0, 0.8, 0.6, 0.7, 0.35, 0.3, 0.3, 0.25, 0.15, 0.1])
    amplitudes = rng.uniform(0.3, 1.0, 11) * np.array([0.6, 1, 0.9, 0.5, 1, 0.4, 0.4, 0.3, 0.4, 0.2, 0.15])
    y = np.zeros(n)
    at, gap = 0.01, rng.uniform(0.6, 2.5)
    while at * SAMPLE_RATE < n:
        y += ring(n, strike * partials, times, amplitudes, at)
        y += ring(n, strike * partials * 1.0015, times, 0.5 * amplitudes, at)
        y += 0.4 * bandpass(noise(rng, n), 2000, 9000) * decay(n, 0.0005, 0.02, at)
        at += gap
    return room(rng, y, rng.uniform(0.5, 2.0), rng.uniform(0.1, 0.5))


@recipe("a user-interface click, short and clean", (0.15, 0.4))
def ui_click(rng: Rng, n: int) -> Signal:
    y = np.zeros(n)
    base = log_uniform(rng, 600, 4500)
    for k in range(int(rng.integers(1, 3))):
        at = 0.005 + k * rng.uniform(0.03, 0.09)
        pitch = base * (1.0 if k == 0 else rng.choice((0.75, 1.25, 1.5)))
        y += ring(n, [pitch, pitch * rng.uniform(1.8, 2.4)], [rng.uniform(0.015, 0.09), 0.02], [1.0, 0.4], at)
        y += rng.uniform(0.05, 0.6) * bandpass(noise(rng, n), 2500, 15_000) * decay(n, 0.0002, 0.005, at)
    return y


@recipe("a bright pick-up chime, rising notes of a game", (0.4, 1.2))
def pickup(rng: Rng, n: int) -> Signal:
    y = np.zeros(n)
    base = log_uniform(rng, 400, 1400)
    steps = np.cumsum(rng.choice((2, 3, 4, 5, 7), int(rng.integers(2, 6))))
    gap = rng.uniform(0.045, 0.11)
    amplitudes = 1 / np.arange(1, 10) ** rng.uniform(1.0, 3.0)
    for k, step in enumerate((0, *steps)):
        length = seconds_to_samples(rng.uniform(0.2, 0.5))
        place(y, harmonics(np.full(length, base * 2 ** (step / 12)), amplitudes) * decay(length, 0.003, 0.35), k * gap)
    return room(rng, y, 0.4, rng.uniform(0.0, 0.4), 9000)


@recipe("a clock ticks steadily", (2.0, 5.0))
def clock_tick(rng: Rng, n: int) -> Signal:
    y = np.zeros(n)
    period = rng.uniform(0.2, 1.0)
    body = log_uniform(rng, 900, 3500) * np.array([1.0, 1.8, 2.9, 4.1])
    for k in range(int(n / SAMPLE_RATE / period) + 1):
        length = seconds_to_samples(0.1)
        tick = ring(
            length, body * (1.0 if k % 2 else rng.uniform(0.9, 0.95)), [0.05, 0.03, 0.02, 0.015], [1, 0.7, 0.6, 0.5]
        )
        tick += 0.5 * bandpass(noise(rng, length), 3000, 14_000) * decay(length, 0.0002, 0.005)
        place(y, tick, 0.02 + k * period, rng.uniform(0.85, 1.0))
    return room(rng, y, rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.6), 6000)


@recipe("crickets chirping at night", (3.0, 7.0))
def crickets(rng: Rng, n: int) -> Signal:
    sides = np.zeros((2, n))
    t = timeline(n)
    for _ in range(int(rng.integers(2, 6))):
        pitch = rng.uniform(3200, 5600)
        trill = rng.uniform(25, 55)
        chirps = rng.uniform(1.2, 3.5)
        offset = rng.random()
        cycle = (chirps * t + offset) % 1.0
        active = np.clip(np.sin(np.pi * np.clip(cycle / rng.uniform(0.25, 0.6), 0, 1)), 0, None)
        song = np.sin(2 * np.pi * pitch * t) * np.clip(np.sin(2 * np.pi * trill * t), 0, None) ** 1.5 * active
        pan = rng.random()
        sides += rng.uniform(0.2, 1.0) * np.stack([song * np.cos(0.5 * np.pi * pan), song * np.sin(0.5 * np.pi * pan)])
    night = np.stack([bandpass(noise(rng, n, -3), 100, 5000, 1) for _ in range(2)])
    return sides + rng.uniform(0.01, 0.06) * night
