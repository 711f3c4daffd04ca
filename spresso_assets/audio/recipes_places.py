"""Recipes for feet, doors, weather and water. How a recipe is made stands in `recipe_book.py`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spresso_assets.audio.ingredients import (
    SAMPLE_RATE,
    Rng,
    Signal,
    bandpass,
    decay,
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

# --- Feet and doors ---------------------------------------------------------------------------------------------------


def _walk(rng: Rng, n: int, step: Callable[[float], Signal]) -> Signal:
    """Lay out steps at a human pace, with a limp and alternating feet; `step` gets the weight of each."""
    y = np.zeros(n)
    pace = rng.uniform(0.32, 0.75)
    at, left = rng.uniform(0.02, 0.12), 0
    limp = rng.uniform(0.0, 0.06)
    while at * SAMPLE_RATE < n:
        weight = rng.uniform(0.7, 1.0) * (1.0 if left else rng.uniform(0.8, 1.0))
        place(y, step(weight), at)
        at += pace * rng.normal(1.0, 0.05) + (limp if left else -limp)
        left = 1 - left
    return y


@recipe("footsteps on gravel, crunching stones", (1.5, 5.0))
def footsteps_gravel(rng: Rng, n: int) -> Signal:
    bright = log_uniform(rng, 2500, 7000)
    density = log_uniform(rng, 500, 2500)

    def step(weight: float) -> Signal:
        length = seconds_to_samples(rng.uniform(0.16, 0.3))
        # Heel, then the roll to the toe: two crunches of many small collisions.
        press = decay(length, 0.015, 0.12) + rng.uniform(0.4, 0.9) * decay(length, 0.03, 0.16, rng.uniform(0.06, 0.12))
        stones = bandpass(scatter(rng, length, density, 0.9), 600, bright) + 0.1 * bandpass(
            noise(rng, length), 800, bright
        )
        thump = 0.25 * ring(length, [rng.uniform(70, 120)], [0.12], [1.0])
        crunch = np.tanh(0.7 * unit_rms(stones * press))  # squashed: otherwise one stone drowns the others
        return weight * (unit_peak(crunch) + thump)

    return _walk(rng, n, step)


@recipe("footsteps on a wooden floor, hollow boards", (1.5, 5.0))
def footsteps_wood(rng: Rng, n: int) -> Signal:
    board = log_uniform(rng, 90, 220)
    hardness = rng.uniform(0.2, 1.0)

    def step(weight: float) -> Signal:
        length = seconds_to_samples(0.4)
        modes = board * np.array([1.0, 1.9, 2.7, 4.3, 6.1, 9.2]) * rng.normal(1.0, 0.04, 6)
        amplitudes = np.array([1.0, 0.7, 0.5, 0.35 * hardness, 0.3 * hardness, 0.25 * hardness])
        heel = ring(length, modes, 0.25 / (1 + np.arange(6) * 0.6), amplitudes)
        click = hardness * bandpass(noise(rng, length), 1500, 6000) * decay(length, 0.0005, 0.02)
        toe = 0.4 * ring(length, modes * 1.1, np.full(6, 0.1), amplitudes, rng.uniform(0.07, 0.13))
        return weight * (heel + 0.3 * click + toe)

    return room(rng, _walk(rng, n, step), rng.uniform(0.2, 0.7), rng.uniform(0.1, 0.6), 4000)


@recipe("footsteps in snow, soft creaking crunch", (1.5, 5.0))
def footsteps_snow(rng: Rng, n: int) -> Signal:
    centre = log_uniform(rng, 700, 2200)

    def step(weight: float) -> Signal:
        length = seconds_to_samples(rng.uniform(0.25, 0.4))
        grit = np.abs(noise(rng, length)) * noise(rng, length)
        creak = sculpt(grit, lambda f, t: resonance(f, centre * (1 + 1.2 * np.clip(t, 0, 1)), 0.5) + 0.05)
        return weight * unit_peak(creak * swell(length, rng.uniform(0.25, 0.45), 1.5))

    return _walk(rng, n, step)


@recipe("a door swings and shuts, latch click", (1.0, 3.0))
def door(rng: Rng, n: int) -> Signal:
    shut = rng.uniform(0.3, 0.6) * n / SAMPLE_RATE
    body = log_uniform(rng, 55, 140)
    y = 0.04 * bandpass(noise(rng, n), 200, 1500) * swell(n, min(0.9, shut * SAMPLE_RATE / n), 2.0)
    modes = body * np.array([1.0, 1.6, 2.35, 3.4, 4.8, 6.9, 9.7]) * rng.normal(1.0, 0.06, 7)
    y += ring(n, modes, rng.uniform(0.15, 0.6) / (1 + 0.3 * np.arange(7)), 0.8 ** np.arange(7), shut)
    y += 0.8 * bandpass(noise(rng, n), 150, 3500) * decay(n, 0.001, rng.uniform(0.05, 0.15), shut)
    for delay in (rng.uniform(0.02, 0.05), rng.uniform(0.07, 0.14)):
        latch = log_uniform(rng, 1400, 4500) * np.array([1.0, 1.47, 2.09, 2.9])
        y += ring(n, latch, np.full(4, 0.06), np.full(4, 0.12), shut + delay)
    return room(rng, y, rng.uniform(0.3, 1.4), rng.uniform(0.2, 1.0))


@recipe("an old door creaks slowly on dry hinges", (1.5, 4.0))
def door_creak(rng: Rng, n: int) -> Signal:
    # Stick and slip: a train of clicks whose rate wanders excites the wood; the rate is heard as a groaning pitch.
    rate = log_uniform(rng, 25, 140) * 2 ** (1.3 * wander(rng, n, 1.6) + rng.uniform(-1, 1.2) * np.linspace(0, 1, n))
    turns = np.floor(np.cumsum(rate) / SAMPLE_RATE + 0.03 * noise(rng, n, -6))
    slips = np.diff(turns, prepend=turns[:1]).clip(0, 1) * rng.uniform(0.5, 1.0, n)
    wood = log_uniform(rng, 350, 1100) * np.array([1.0, 1.7, 2.3, 3.6])
    y = np.sum([bandpass(slips, f * 0.93, f * 1.07) * g for f, g in zip(wood, (1, 0.8, 0.5, 0.4), strict=True)], axis=0)
    push = np.clip(0.6 + 0.7 * wander(rng, n, 2.0), 0.0, None) * swell(n, rng.uniform(0.3, 0.7), 0.7)
    return room(rng, unit_peak(y) * push, rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.5))


# --- Weather and water ------------------------------------------------------------------------------------------------


@recipe("rain falling, many drops", (3.0, 8.0))
def rain(rng: Rng, n: int) -> Signal:
    heaviness = rng.uniform(0.0, 1.0)
    drops_per_second = 60 * 40**heaviness
    surface = log_uniform(rng, 1200, 6000)
    sides = []
    shower = 1 + 0.25 * wander(rng, n, 0.7)
    for _ in range(2):
        hiss = bandpass(noise(rng, n, -1.5), 500, 14_000, 1) * (0.25 + 0.6 * heaviness)
        near = bandpass(scatter(rng, n, drops_per_second, 1.3), surface * 0.6, surface * 1.7)
        far = bandpass(scatter(rng, n, drops_per_second * 4, 0.8), 2500, 11_000, 1)
        drops = np.tanh(unit_rms(near) / 3) * 3  # the few drops that hit the microphone must not set the level
        sides.append((hiss + (1.2 - 0.9 * heaviness) * drops + 0.5 * np.tanh(unit_rms(far) / 3) * 3) * shower)
    return np.stack(sides)


@recipe("wind, howling gusts", (3.0, 8.0))
def wind(rng: Rng, n: int) -> Signal:
    gust = np.clip(0.55 + 0.5 * wander(rng, n, rng.uniform(0.4, 1.2)), 0.03, None)
    pitch = log_uniform(rng, 250, 700)
    howl = log_uniform(rng, 0.5, 8.0)
    times = timeline(n)

    def gain(f: Signal, t: Signal) -> Signal:
        g = np.interp(t, times, gust)
        body = resonance(f, 120 + 500 * g, 1.3)
        whistle = resonance(f, pitch * (0.6 + 1.1 * g), 0.09) + 0.5 * resonance(f, 1.9 * pitch * (0.7 + 0.9 * g), 0.07)
        return (body + howl * whistle * g) * g

    return np.stack([sculpt(noise(rng, n, -2.0), gain) for _ in range(2)])


@recipe("thunder, a crack and a long rolling rumble", (4.0, 9.0))
def thunder(rng: Rng, n: int) -> Signal:
    distance = rng.uniform(0.0, 1.0)
    start = rng.uniform(0.05, 0.25)
    length = n / SAMPLE_RATE
    envelope = 0.8 * decay(n, 0.03 + 0.3 * distance, length * 0.95, start)
    for _ in range(rng.integers(3, 9)):
        envelope += rng.uniform(0.2, 1.0) * decay(
            n, 0.08, rng.uniform(0.6, 2.5), start + rng.uniform(0.1, 0.5) * length
        )
    sides = []
    for _ in range(2):
        rumble = sculpt(
            noise(rng, n, -2.5),
            lambda f, t: 1 / (1 + (f / (90 + 1400 * (1 - distance) * np.exp(-1.6 * np.maximum(t, 0)) + 90)) ** 2),
        )
        crack = bandpass(scatter(rng, n, 900, 1.5), 500, 9000, 1) * decay(n, 0.002, rng.uniform(0.3, 0.8), start)
        sides.append(unit_peak(rumble * envelope) + (1 - distance) ** 2 * unit_peak(crack))
    return np.stack(sides)


@recipe("water dripping into a pool, echoing drops", (1.5, 5.0))
def water_drip(rng: Rng, n: int) -> Signal:
    y = np.zeros(n)
    at = rng.uniform(0.02, 0.2)
    gap = log_uniform(rng, 0.18, 0.9)
    base = log_uniform(rng, 500, 1800)
    while at * SAMPLE_RATE < n:
        length = seconds_to_samples(0.25)
        t = timeline(length)
        f0 = base * rng.lognormal(0.0, 0.25)
        # A trapped bubble rises in pitch as it shrinks towards the surface.
        plink = tone(f0 * (1 + rng.uniform(0.5, 3.0) * t / 0.1)) * decay(length, 0.002, rng.uniform(0.06, 0.18), 0.012)
        tick = bandpass(noise(rng, length), 3000, 12_000) * decay(length, 0.0003, 0.006)
        place(y, plink + 0.25 * tick, at, rng.uniform(0.4, 1.0))
        at += gap * rng.lognormal(0.0, 0.3)
    return room(rng, y, rng.uniform(0.6, 2.2), rng.uniform(0.3, 1.2))


@recipe("bubbles gurgling under water", (1.5, 5.0))
def bubbles(rng: Rng, n: int) -> Signal:
    y = np.zeros(n)
    base = log_uniform(rng, 180, 900)
    busy = log_uniform(rng, 8, 45)
    for start in np.sort(rng.uniform(0, n / SAMPLE_RATE, rng.poisson(busy * n / SAMPLE_RATE) + 2)):
        length = seconds_to_samples(rng.uniform(0.03, 0.14))
        t = timeline(length)
        f0 = base * rng.lognormal(0.0, 0.5)
        pitch = f0 * (1 + rng.uniform(0.3, 2.0) * t / t[-1])
        place(y, tone(pitch) * swell(length, 0.2, 1.0), float(start), rng.lognormal(0.0, 0.6))
    murk = 0.15 * unit_rms(bandpass(noise(rng, n, -3), 60, 500)) * (1 + 0.5 * wander(rng, n, 3))
    return bandpass(unit_peak(y) + murk, 40, log_uniform(rng, 1800, 6000), 1)


@recipe("ocean waves breaking on a beach", (5.0, 10.0))
def ocean(rng: Rng, n: int) -> Signal:
    t = timeline(n)
    period = rng.uniform(3.0, 6.5)
    offset = rng.random()
    sides = []
    for side in range(2):
        phase = (t / period + offset + 0.04 * side + 0.1 * wander(rng, n, 0.3)) % 1.0
        wave = np.where(phase < 0.35, (phase / 0.35) ** 2, ((1 - phase) / 0.65) ** 1.6)
        wash = bandpass(noise(rng, n, -1.0), 900, 12_000, 1) * np.clip(wave - 0.15, 0, None)
        swash = unit_rms(bandpass(noise(rng, n, -4.0), 40, 700, 1)) * (0.25 + wave)
        sides.append(1.3 * wash + 0.5 * swash)
    return np.stack(sides)


@recipe("a crackling fire, embers popping", (3.0, 8.0))
def fire(rng: Rng, n: int) -> Signal:
    roar = unit_rms(bandpass(noise(rng, n, -4.0), 40, log_uniform(rng, 300, 900), 1))
    roar *= 1 + 0.5 * wander(rng, n, 4)
    y = rng.uniform(0.02, 0.1) * roar
    crackle = scatter(rng, n, log_uniform(rng, 15, 120), 1.2) * (0.6 + 0.6 * np.clip(wander(rng, n, 2), 0, 1))
    y += 0.8 * unit_peak(np.tanh(2 * unit_peak(bandpass(crackle, 1500, 12_000, 1))))
    for _ in range(rng.poisson(1.5 * n / SAMPLE_RATE)):
        length = seconds_to_samples(0.08)
        pop = bandpass(noise(rng, length), log_uniform(rng, 400, 1500), 6000) * decay(
            length, 0.0005, rng.uniform(0.01, 0.05)
        )
        place(y, unit_peak(pop), rng.uniform(0, n / SAMPLE_RATE), rng.uniform(0.2, 0.8))
    return y
