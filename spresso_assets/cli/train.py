"""spresso train: the stages that make a model bundle, each resumable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from spresso_assets.cli.captions import captions as captions_command
from spresso_assets.cli.fit import fit
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
from spresso_assets.cli.train_rivals import app as rivals

app = typer.Typer(
    no_args_is_help=True,
    help="Fit a codec to your archive, or train one stage by stage: prepare ... bundle.",
)

app.command()(fit)
app.command("captions")(captions_command)
app.add_typer(rivals, name="rival")

Run = Annotated[Path, typer.Option("--run", help="Folder of this training run; stages find each other below it.")]
Base = Annotated[
    Path | None,
    typer.Option("--base", help="Bundle to start from, or 'small' for the shipped one: what the run lacks is its."),
]
Rate = Annotated[
    str | None, typer.Option("--rate", help="Frame rate to train, where the preset trains each apart: 25hz, ... 1hz.")
]
Config = Annotated[Path | None, typer.Option("--config", help="TOML file with one table per stage.", dir_okay=False)]
Preset = Annotated[str, typer.Option("--preset", help="Model size: full, small or tiny.")]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda; under torchrun, every process has its own GPU.")]


def _setup(threads: int, device: str = "cpu") -> str:
    """Threads, and the other processes of a run under torchrun; returns the device of this process."""
    from spresso_assets.training.ranks import join, own_device

    set_threads(threads)
    device = own_device(device)
    join()
    return device


def _model(preset: str, config: Path | None) -> Any:
    """The preset's sizes, with the table [model] of the TOML file applied."""
    from spresso_assets.codec.config import PRESETS
    from spresso_assets.training.settings import apply, read_table

    return apply(preset_of(PRESETS, preset), read_table(config, "model"))


def _source(run: Path, base: Path | None, preset: str, config: Path | None) -> tuple[Any, Any]:
    """The sizes of a run, and where its starting weights come from."""
    from spresso_assets.codec.bundle import default_bundle
    from spresso_assets.training.source import Source, base_model

    if base is None:
        return _model(preset, config), Source(run)
    folder = default_bundle() if str(base) == "small" else base
    return base_model(folder), Source(run, folder)


def _one_rate(model: Any, rate: str | None) -> Any:
    """The model of one frame rate where adapters are per rate; all of it where they are shared."""
    if model.per_rate != (rate is not None) or (rate and rate not in model.rates):
        known = f"name one with --rate: {', '.join(model.rates)}" if model.per_rate else "it has one adapter for all"
        raise typer.BadParameter(f"frame rates of the preset '{model.name}': {known}")
    return model.only(rate) if rate else model


@app.command()
def prepare(
    data: Data,
    run: Run = Path("runs/small"),
    preset: Preset = "small",
    base: Base = None,
    config: Config = None,
    procedural: Annotated[int, typer.Option(help="Procedurally made sounds to add to the training split.")] = 600,
    captions: Annotated[
        Path | None, typer.Option("--captions", help="What 'train captions' wrote; needs --clap.", dir_okay=False)
    ] = None,
    clap: Annotated[
        Path | None, typer.Option("--clap", help="Folder of a CLAP model, whose text tower reads the captions.")
    ] = None,
) -> None:
    """Analyse every sound once and cache its latents; a preset with a learned autoencoder needs that trained first."""
    from spresso_assets.codec.autoencoder import AudioAE
    from spresso_assets.codec.text import ClapText
    from spresso_assets.training.captions import build_text_cache, read_captions
    from spresso_assets.training.data import build_cache
    from spresso_assets.training.ranks import stay_alone
    from spresso_assets.training.source import write_statistics

    stay_alone("train prepare")
    if (captions is None) != (clap is None):
        raise typer.BadParameter("--captions and --clap come together")
    model, source = _source(run, base, preset, config)
    # Before the long part: a model or a file that cannot be read should not cost it.
    tower = ClapText(clap) if clap else None
    told = read_captions(captions) if captions else {}
    if tower and tower.dim != model.transformer.text_dim:
        wanted = model.transformer.text_dim
        raise typer.BadParameter(f"--clap: embeddings of {tower.dim} numbers, where the preset takes {wanted}")
    learned = None
    if model.autoencoder.encoder != "logmel":
        learned = AudioAE(model.autoencoder, model.sigma_data)
        learned.load_state_dict(source.state("autoencoder", "autoencoder"))
    print_figures(build_cache(data, run / "data", model.autoencoder, autoencoder=learned, procedural=procedural))
    if source.base is not None:
        write_statistics(source.base, run / "data")
    if tower is not None:
        print_figures(build_text_cache(run / "data", told, tower))


@app.command()
def autoencoder(
    data: Annotated[Path, typer.Argument(help="The folder of sounds that 'prepare' was given.")],
    run: Run = Path("runs/small"),
    preset: Preset = "small",
    max_minutes: Minutes = 30,
    resume: Resume = False,
    config: Config = None,
    procedural: Annotated[int, typer.Option(help="Procedurally made sounds to add to the training split.")] = 100,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """The AudioAE: the decoder of log-mel latents, after 'prepare'; or a learned pair (preset full), before it."""
    from spresso_assets.training.autoencoder import AutoencoderTrainingConfig, build_wave_cache, train_autoencoder
    from spresso_assets.training.ranks import join

    device = _setup(threads, device)
    if join().leads and not (run / "data" / "waves-val.safetensors").exists():
        build_wave_cache(data, run / "data", procedural=procedural)
    join().wait()
    loop = loop_of(config, "autoencoder", max_minutes=max_minutes)
    cfg = options_of(config, "autoencoder", AutoencoderTrainingConfig())
    print_figures(
        train_autoencoder(
            _model(preset, config), run / "data", run / "autoencoder", loop, cfg, resume=resume, device=device
        )
    )


@app.command()
def prior(
    run: Run = Path("runs/small"),
    preset: Preset = "small",
    max_minutes: Minutes = 15,
    resume: Resume = False,
    config: Config = None,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """Stage 1: the diffusion prior on latents alone."""
    from spresso_assets.training.prior import PriorConfig, train_prior

    device = _setup(threads, device)
    loop = loop_of(config, "prior", max_minutes=max_minutes)
    cfg = options_of(config, "prior", PriorConfig())
    model, out = _model(preset, config), run / "prior"
    print_figures(train_prior(model, run / "data", out, loop, cfg, resume=resume, device=device))


@app.command()
def adapter(
    run: Run = Path("runs/small"),
    preset: Preset = "small",
    base: Base = None,
    max_minutes: Minutes = 100,
    resume: Resume = False,
    config: Config = None,
    rate: Rate = None,
    lora_rank: Annotated[
        int | None,
        typer.Option(help="LoRA on the frozen prior (paper); 0 trains the whole denoiser. The preset's, if left out."),
    ] = None,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """Stage 2: latent encoder and conditioned denoiser."""
    from spresso_assets.training.adapter import AdapterConfig, train_adapter
    from spresso_assets.training.source import stage_folder

    device = _setup(threads, device)
    loop = loop_of(config, "adapter", max_minutes=max_minutes)
    cfg = options_of(config, "adapter", AdapterConfig())
    model, source = _source(run, base, preset, config)
    model = _one_rate(model if lora_rank is None else model.with_lora(lora_rank), rate)
    out = run / stage_folder("adapter", model)
    print_figures(train_adapter(model, run / "data", source, out, loop, cfg, resume=resume, device=device))


@app.command()
def quantizer(
    rate: Annotated[str, typer.Argument(help="Frame rate: 25hz, 11hz, 5hz or 1hz.")],
    run: Run = Path("runs/small"),
    preset: Preset = "small",
    base: Base = None,
    max_minutes: Minutes = 5,
    resume: Resume = False,
    config: Config = None,
    threads: Threads = 0,
) -> None:
    """Stage 3: the QINCo2 quantizer of one frame rate, on codes of the trained encoder."""
    from spresso_assets.training.quantizer import QuantizerTrainingConfig, train_quantizer
    from spresso_assets.training.ranks import stay_alone
    from spresso_assets.training.vectors import stored_vectors

    stay_alone("train quantizer")
    _setup(threads)
    model, source = _source(run, base, preset, config)
    out = run / "quantizer" / rate
    if rate not in model.quantizers:
        raise typer.BadParameter(f"unknown frame rate '{rate}'; known: {', '.join(model.quantizers)}")
    cfg = options_of(config, "quantizer", QuantizerTrainingConfig())
    train_ND, sound_N, val_ND = stored_vectors(model, source, rate, cfg.vectors, out, resume=resume)
    report = train_quantizer(
        model.quantizers[rate],
        train_ND,
        val_ND,
        out,
        groups_N=sound_N,
        max_minutes=max_minutes,
        smoothing=cfg.smoothing,
        resume=resume,
    )
    typer.echo(json.dumps(report))


@app.command()
def finetune(
    run: Run = Path("runs/small"),
    preset: Preset = "small",
    base: Base = None,
    max_minutes: Minutes = 20,
    resume: Resume = False,
    rate: Rate = None,
    config: Config = None,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """Stage 4: teach the denoiser to work from quantised codes; encoder and quantizers stay as they are."""
    from spresso_assets.training.finetune import FinetuneConfig, train_finetune
    from spresso_assets.training.source import stage_folder

    device = _setup(threads, device)
    model, source = _source(run, base, preset, config)
    loop = loop_of(config, "finetune", max_minutes=max_minutes)
    cfg = options_of(config, "finetune", FinetuneConfig())
    model = _one_rate(model, rate)
    quantizers, out = source.quantizers(model), run / stage_folder("finetune", model)
    print_figures(train_finetune(model, run / "data", source, quantizers, out, loop, cfg, resume=resume, device=device))


@app.command()
def distill(
    run: Run = Path("runs/small"),
    preset: Preset = "small",
    base: Base = None,
    max_minutes: Minutes = 30,
    resume: Resume = False,
    rate: Rate = None,
    config: Config = None,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """Stage 5: a student that decodes in a few evaluations what the default takes eight for."""
    from spresso_assets.training.distill import DistillConfig, train_distill
    from spresso_assets.training.source import stage_folder

    device = _setup(threads, device)
    model, source = _source(run, base, preset, config)
    loop = loop_of(config, "distill", max_minutes=max_minutes, lr=1e-3)
    cfg = options_of(config, "distill", DistillConfig())
    model = _one_rate(model, rate)
    quantizers, out = source.quantizers(model), run / stage_folder("distill", model)
    print_figures(train_distill(model, run / "data", source, quantizers, out, loop, cfg, resume=resume, device=device))


@app.command()
def ema(
    stage: Annotated[str, typer.Argument(help="Stage of the run, for example adapter, or adapter/25hz.")],
    run: Run = Path("runs/small"),
    sigma_rel: Annotated[
        float | None, typer.Option(help="Relative width of the average; needs snapshots (snapshot_steps).")
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Take the weights of the best evaluation instead.")] = False,
) -> None:
    """Choose which averaged weights of a stage count for later stages and the bundle."""
    from spresso_assets.training.ema import use_best, write_average
    from spresso_assets.training.ranks import stay_alone

    stay_alone("train ema")
    if best == (sigma_rel is not None):
        raise typer.BadParameter("give either --sigma-rel or --best")
    if sigma_rel is not None:
        typer.echo(f"distance\t{write_average(run / stage, sigma_rel):.4f}")
    else:
        typer.echo(f"step\t{use_best(run / stage)}")


@app.command()
def entropy(
    rates: Annotated[list[str] | None, typer.Argument(help="Frame rates: 25hz ... 1hz; all if none is named.")] = None,
    run: Run = Path("runs/small"),
    preset: Preset = "small",
    base: Base = None,
    max_minutes: Annotated[float, typer.Option("--max-minutes", help="Time budget of each rate.")] = 10,
    resume: Resume = False,
    config: Config = None,
    threads: Threads = 0,
) -> None:
    """Tables by which codes are entropy-coded: smaller streams, the same sound. Needs encoder and quantizers."""
    from spresso_assets.training.entropy import FOLDER, EntropyTrainingConfig, train_entropy
    from spresso_assets.training.ranks import stay_alone

    stay_alone("train entropy")
    _setup(threads)
    model, source = _source(run, base, preset, config)
    cfg = options_of(config, "entropy", EntropyTrainingConfig())
    for rate in rates or model.quantizers:
        if rate not in model.quantizers:
            raise typer.BadParameter(f"unknown frame rate '{rate}'; known: {', '.join(model.quantizers)}")
        out, data = run / FOLDER, run / "data"
        report = train_entropy(model, data, source, rate, out, cfg, max_minutes=max_minutes, resume=resume)
        print_figures({f"{rate} {name}": value for name, value in report.items()})


@app.command()
def bundle(
    out: Annotated[Path, typer.Argument(help="Folder to write the bundle to.")],
    run: Run = Path("runs/small"),
    preset: Preset = "small",
    base: Base = None,
    config: Config = None,
    license: Annotated[str, typer.Option(help="Licence of the weights, for the catalog and the bundle.")] = "",
) -> None:
    """Assemble what has been trained into a bundle; rates without a quantizer stay continuous."""
    from spresso_assets.training.assemble import assemble
    from spresso_assets.training.ranks import stay_alone

    stay_alone("train bundle")
    model, source = _source(run, base, preset, config)
    typer.echo(assemble(model, run, out, base=source.base, license=license))
