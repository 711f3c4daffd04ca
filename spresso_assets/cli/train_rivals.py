"""spresso train rival: the small rivals of our own, trained on the same sounds as our codec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from spresso_assets.cli.train_options import (
    Data,
    Minutes,
    Resume,
    Threads,
    loop_of,
    options_of,
    preset_of,
    print_figures,
    set_threads,
)

if TYPE_CHECKING:
    from spresso_assets.training.loop import LoopConfig

T = TypeVar("T")
STAGE = "rival"  # the table of the TOML file

app = typer.Typer(
    no_args_is_help=True,
    help="Train a rival of our own: spectrogram, soundstream or encodec-ours.",
)

Run = Annotated[Path, typer.Option("--run", help="Folder of this training run.")]
Preset = Annotated[str, typer.Option("--preset", help="Size: small or tiny.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file with a table [rival] of training options.", dir_okay=False)
]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
Limit = Annotated[int | None, typer.Option("--limit", help="At most so many sounds of each split, for trials.")]


def _clips(data: Path, run: Path, sample_rate: int, channels: int, limit: int | None) -> Path:
    """Folder of the clips, which are made at the first call."""
    from spresso_assets.training.rivals_data import build_clips, clips_file

    if not (run / "data" / clips_file("val")).exists():
        build_clips(data, run / "data", sample_rate, channels, limit)
    return run / "data"


def _options(config: Path | None, defaults: T, minutes: float, **loop: Any) -> tuple[T, LoopConfig]:
    """Training options and the loop's, with the file's table applied."""
    return options_of(config, STAGE, defaults), loop_of(config, STAGE, max_minutes=minutes, **loop)


@app.command()
def spectrogram(
    data: Data,
    run: Run = Path("runs/spectrogram"),
    preset: Preset = "small",
    max_minutes: Minutes = 60,
    resume: Resume = False,
    config: Config = None,
    limit: Limit = None,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """The spectrogram-image codec: an autoencoder of log-magnitude images with a hyperprior."""
    from spresso_assets.rivals.spectrogram.config import PRESETS, SAMPLE_RATE
    from spresso_assets.training.rivals_spectrogram import SpectrogramTrainingConfig, train_spectrogram

    set_threads(threads)
    training, loop = _options(config, SpectrogramTrainingConfig(), max_minutes, lr=3e-4, betas=(0.9, 0.999))
    clips = _clips(data, run, SAMPLE_RATE, 1, limit)
    print_figures(
        train_spectrogram(preset_of(PRESETS, preset), clips, run, loop, training, resume=resume, device=device)
    )


@app.command()
def soundstream(
    data: Data,
    run: Run = Path("runs/soundstream"),
    preset: Preset = "small",
    max_minutes: Minutes = 60,
    resume: Resume = False,
    config: Config = None,
    limit: Limit = None,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """SoundStream: 3 to 18 kbit/s from one model, and noise taken away on request."""
    from spresso_assets.rivals.soundstream.config import PRESETS
    from spresso_assets.training.rivals_soundstream import ConvTrainingConfig, train_convolutional

    set_threads(threads)
    cfg = preset_of(PRESETS, preset)
    training, loop = _options(config, ConvTrainingConfig(), max_minutes, lr=3e-4, betas=(0.5, 0.9), weight_decay=0.0)
    clips = _clips(data, run, cfg.sample_rate, cfg.channels, limit)
    print_figures(train_convolutional(cfg, clips, run, loop, training, resume=resume, device=device))


@app.command()
def encodec_ours(
    data: Data,
    run: Run = Path("runs/encodec-ours"),
    preset: Preset = "small",
    max_minutes: Minutes = 60,
    resume: Resume = False,
    config: Config = None,
    limit: Limit = None,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """EnCodec's codec for stereo at 48 kHz; 'encodec-prior' comes after it."""
    from spresso_assets.rivals.encodec_parts.config import PRESETS
    from spresso_assets.training.rivals_balance import HingeConfig
    from spresso_assets.training.rivals_soundstream import ConvTrainingConfig, train_convolutional

    set_threads(threads)
    cfg = preset_of(PRESETS, preset)
    defaults = ConvTrainingConfig(dropout="offered", adversary=HingeConfig(kind="encodec", chance=0.5))
    training, loop = _options(config, defaults, max_minutes, lr=3e-4, betas=(0.5, 0.9), weight_decay=0.0)
    clips = _clips(data, run, cfg.sample_rate, cfg.channels, limit)
    print_figures(train_convolutional(cfg, clips, run, loop, training, resume=resume, device=device))


@app.command()
def encodec_prior(
    run: Run = Path("runs/encodec-ours"),
    preset: Preset = "small",
    max_minutes: Minutes = 30,
    resume: Resume = False,
    config: Config = None,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """The Transformer that makes the codes of 'encodec-ours' shorter."""
    from spresso_assets.rivals.encodec_parts.config import PRESETS, PRIORS
    from spresso_assets.training.rivals_prior import PriorTrainingConfig, train_prior

    set_threads(threads)
    training, loop = _options(config, PriorTrainingConfig(), max_minutes, lr=1e-3)
    sizes = preset_of(PRIORS, preset)
    print_figures(train_prior(preset_of(PRESETS, preset), sizes, run, loop, training, resume=resume, device=device))


@app.command()
def bundle(
    system: Annotated[str, typer.Argument(help="spectrogram, soundstream or encodec-ours.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the weights to: what --weights SYSTEM=FOLDER takes.")],
    run: Annotated[Path | None, typer.Option("--run", help="Its training run; runs/SYSTEM if left out.")] = None,
    preset: Preset = "small",
) -> None:
    """Write the averaged weights of a run as a folder that 'spresso evaluate' opens."""
    run = run or Path("runs") / system
    if system == "spectrogram":
        from spresso_assets.rivals.spectrogram.config import PRESETS
        from spresso_assets.training.rivals_spectrogram import bundle_spectrogram

        bundle_spectrogram(preset_of(PRESETS, preset), run, out)
    elif system == "soundstream":
        from spresso_assets.rivals.soundstream import config as soundstream_sizes
        from spresso_assets.rivals.soundstream.model import save_model
        from spresso_assets.training.rivals_soundstream import trained_model

        save_model(out, system, trained_model(preset_of(soundstream_sizes.PRESETS, preset), run))
    elif system == "encodec-ours":
        from spresso_assets.rivals.encodec_parts import config as encodec_sizes
        from spresso_assets.training.rivals_prior import bundle_encodec

        sizes = preset_of(encodec_sizes.PRIORS, preset)
        bundle_encodec(preset_of(encodec_sizes.PRESETS, preset), sizes, run, out)
    else:
        raise typer.BadParameter(f"unknown system '{system}'; known: spectrogram, soundstream, encodec-ours")
    typer.echo(str(out))
