"""spresso train rival: the small rivals of our own, trained on the same sounds as our codec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from spresso_assets.training.loop import LoopConfig

app = typer.Typer(
    no_args_is_help=True,
    help="Train a rival of our own: spectrogram, soundstream or encodec-ours.",
)

Data = Annotated[Path, typer.Argument(help="Folder of sounds; a manifest.csv (path, split) in it is honoured.")]
Run = Annotated[Path, typer.Option("--run", help="Folder of this training run.")]
Minutes = Annotated[float, typer.Option("--max-minutes", help="Time budget, summed over resumed runs.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")]
Preset = Annotated[str, typer.Option("--preset", help="Size: small or tiny.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file with a table [rival] of training options.", dir_okay=False)
]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads; 0 lets torch decide.")]
Limit = Annotated[int | None, typer.Option("--limit", help="At most so many sounds of each split, for trials.")]


def _of(presets: dict[str, Any], preset: str) -> Any:
    if preset not in presets:
        raise typer.BadParameter(f"unknown preset '{preset}'; known: {', '.join(presets)}")
    return presets[preset]


def _clips(data: Path, run: Path, sample_rate: int, channels: int, limit: int | None) -> Path:
    """Folder of the clips, which are made at the first call."""
    from spresso_assets.training.rivals_data import build_clips, clips_file

    if not (run / "data" / clips_file("val")).exists():
        build_clips(data, run / "data", sample_rate, channels, limit)
    return run / "data"


def _options(config: Path | None, defaults: Any, minutes: float, **loop: Any) -> tuple[Any, LoopConfig]:
    """Training options and the loop's, with the file's table applied."""
    from spresso_assets.training.loop import LoopConfig
    from spresso_assets.training.settings import apply, read_table

    table = read_table(config, "rival")
    own = apply(defaults, {k: v for k, v in table.items() if k != "loop"})
    return own, apply(apply(LoopConfig(), {"max_minutes": minutes, **loop}), table.get("loop", {}))


def _threads(threads: int) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)


def _report(values: dict[str, float]) -> None:
    for name, value in values.items():
        typer.echo(f"{name}\t{value:.4f}")


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

    _threads(threads)
    training, loop = _options(config, SpectrogramTrainingConfig(), max_minutes, lr=3e-4, betas=(0.9, 0.999))
    clips = _clips(data, run, SAMPLE_RATE, 1, limit)
    _report(train_spectrogram(_of(PRESETS, preset), clips, run, loop, training, resume=resume, device=device))


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

    _threads(threads)
    cfg = _of(PRESETS, preset)
    training, loop = _options(config, ConvTrainingConfig(), max_minutes, lr=3e-4, betas=(0.5, 0.9), weight_decay=0.0)
    clips = _clips(data, run, cfg.sample_rate, cfg.channels, limit)
    _report(train_convolutional(cfg, clips, run, loop, training, resume=resume, device=device))


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

    _threads(threads)
    cfg = _of(PRESETS, preset)
    defaults = ConvTrainingConfig(dropout="offered", adversary=HingeConfig(kind="encodec", chance=0.5))
    training, loop = _options(config, defaults, max_minutes, lr=3e-4, betas=(0.5, 0.9), weight_decay=0.0)
    clips = _clips(data, run, cfg.sample_rate, cfg.channels, limit)
    _report(train_convolutional(cfg, clips, run, loop, training, resume=resume, device=device))


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

    _threads(threads)
    training, loop = _options(config, PriorTrainingConfig(), max_minutes, lr=1e-3)
    sizes = _of(PRIORS, preset)
    _report(train_prior(_of(PRESETS, preset), sizes, run, loop, training, resume=resume, device=device))


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

        bundle_spectrogram(_of(PRESETS, preset), run, out)
    elif system == "soundstream":
        from spresso_assets.rivals.soundstream import config as soundstream_sizes
        from spresso_assets.rivals.soundstream.model import save_model
        from spresso_assets.training.rivals_soundstream import trained_model

        save_model(out, system, trained_model(_of(soundstream_sizes.PRESETS, preset), run))
    elif system == "encodec-ours":
        from spresso_assets.rivals.encodec_parts import config as encodec_sizes
        from spresso_assets.training.rivals_prior import bundle_encodec

        sizes = _of(encodec_sizes.PRIORS, preset)
        bundle_encodec(_of(encodec_sizes.PRESETS, preset), sizes, run, out)
    else:
        raise typer.BadParameter(f"unknown system '{system}'; known: spectrogram, soundstream, encodec-ours")
    typer.echo(str(out))
