"""Trainers of the rivals: shares of the balancer, codebooks as averages, discriminators, and short runs of each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from spresso_assets.cli.train import app
from spresso_assets.errors import SpressoError
from spresso_assets.rivals.encodec_parts.codec import EncodecOurs
from spresso_assets.rivals.encodec_parts.config import PRESETS as ENCODEC
from spresso_assets.rivals.soundstream.codec import SoundStream
from spresso_assets.rivals.soundstream.config import PRESETS as SOUNDSTREAM
from spresso_assets.rivals.soundstream.config import SeanetConfig
from spresso_assets.rivals.soundstream.model import ConvCodec
from spresso_assets.rivals.soundstream.quantizer import ResidualQuantizer
from spresso_assets.rivals.spectrogram.codec import SpectrogramCodec
from spresso_assets.training.checkpoint import CHECKPOINT, load_checkpoint
from spresso_assets.training.rivals_balance import Balancer, HingeAdversary, HingeConfig
from spresso_assets.training.rivals_codebooks import DECAY, CodebookLearner
from spresso_assets.training.rivals_data import Clips, build_clips, clips_file, with_noise
from spresso_assets.training.rivals_discriminators import (
    RivalDiscriminators,
    StftDiscriminator,
    hinge_discriminator,
    hinge_generator,
    relative_features,
)
from spresso_assets.training.rivals_soundstream import (
    ConvTrainingConfig,
    levelled,
    pull_towards_codes,
    used_codebooks,
)
from spresso_assets.training.rivals_start import start_as_transform
from spresso_assets.training.settings import apply


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- balancer --------------------------------------------------------------------------------------------------------
def test_weights_are_shares_whatever_the_scale() -> None:
    """Gradients that differ by a million: shares come out as asked, and so does the norm of the whole."""
    balancer = Balancer({"a": 1.0, "b": 3.0, "c": 4.0}, norm=2.0)
    generator = seeded()
    for step in range(20):
        output = torch.randn(2, 1, 50, generator=generator, requires_grad=True)
        push = torch.zeros(3, *output.shape)
        for k in range(3):
            push[k, 0, 0, 10 * k : 10 * k + 10] = torch.randn(10, generator=generator)
            push[k] /= push[k].norm()
        losses = {n: s * (push[k] * output).sum() for k, (n, s) in enumerate({"a": 1e-3, "b": 1.0, "c": 1e3}.items())}
        balanced, shares = balancer(losses, output)
        balanced.backward()
        assert output.grad is not None
        assert shares == pytest.approx({"share_a": 1 / 8, "share_b": 3 / 8, "share_c": 4 / 8}, rel=1e-4), step
        wanted = 2.0 * (push * torch.tensor([1, 3, 4]).reshape(3, 1, 1, 1) / 8).sum(0)
        torch.testing.assert_close(output.grad, wanted, rtol=1e-4, atol=1e-6)


def test_norms_are_averaged_over_steps() -> None:
    """Equation 5: a gradient twice as large as usual counts about twice, not once."""
    balancer = Balancer({"a": 1.0, "b": 1.0}, decay=0.5)
    output = torch.ones(1, requires_grad=True)
    balancer({"a": output.sum(), "b": output.sum()}, output)
    balanced, _ = balancer({"a": 4 * output.sum(), "b": output.sum()}, output)
    balanced.backward()
    average = (0.5 * 1 + 4) / 1.5
    assert float(output.grad) == pytest.approx(0.5 * 4 / average + 0.5)


def test_an_absent_loss_leaves_its_share_and_the_state_comes_back() -> None:
    balancer = Balancer({"a": 1.0, "b": 9.0})
    output = torch.ones(3, requires_grad=True)
    _, shares = balancer({"a": output.sum()}, output)
    assert shares == {"share_a": 1.0}
    other = Balancer({"a": 1.0, "b": 9.0})
    other.load_tensors(balancer.state_tensors())
    assert (other.total, other.count) == (balancer.total, balancer.count)


# -- codebooks -------------------------------------------------------------------------------------------------------
def test_the_first_batch_sets_codebooks_by_k_means() -> None:
    """Four far clusters and four entries: each entry is the mean of one."""
    centres = torch.tensor([[9.0, 9], [-9, 9], [9, -9], [-9, -9]])
    x = centres.repeat_interleave(50, 0) + 0.1 * torch.randn(200, 2, generator=seeded())
    for seed in range(3):
        quantizer = ResidualQuantizer(2, 2, 2)
        learner = CodebookLearner(quantizer)
        learner(x.T[None], torch.tensor([2]), seeded(seed), learn=True)
        rest = x - quantizer.entries_MKD[0][quantizer.encode(x.T[None], 1)[0, :, 0]]
        # k-means may leave two clusters to one entry; the second codebook then tells them apart
        both = quantizer.decode(quantizer.encode(x.T[None], 2))[0].T
        assert (x - both).square().mean() <= rest.square().mean() < 45
        assert (x - both).square().mean() < 12


def test_entries_are_running_means_and_dead_ones_start_again() -> None:
    quantizer = ResidualQuantizer(1, 1, 1)
    learner = CodebookLearner(quantizer, dead=0.5)
    quantizer.entries_MKD[0] = torch.tensor([[0.0], [100.0]])
    learner.begun = torch.tensor(True)
    learner.count_MK[0] = torch.tensor([10.0, 0.5])
    learner.sum_MKD[0] = torch.tensor([[0.0], [50.0]])
    x = torch.full((1, 1, 8), 2.0)
    learner(x, torch.tensor([1]), seeded())
    count, total = DECAY * 10 + (1 - DECAY) * 8, (1 - DECAY) * 16
    assert float(quantizer.entries_MKD[0, 0, 0]) == pytest.approx(total / count)
    assert float(quantizer.entries_MKD[0, 1, 0]) == 2.0  # nobody chose it: it starts again at what there is
    for _ in range(50):  # and has some time to be chosen
        learner(torch.full((1, 1, 8), -9.0), torch.tensor([1]), seeded())
    assert float(quantizer.entries_MKD[0, 1, 0]) == pytest.approx(2.0)


@pytest.mark.parametrize("cfg", [SOUNDSTREAM["small"], SOUNDSTREAM["tiny"], ENCODEC["small"], ENCODEC["tiny"]])
def test_untrained_codecs_are_block_transforms(cfg: SeanetConfig) -> None:
    """No linear code of so few numbers per frame loses less than the components that do not fit in."""
    torch.manual_seed(0)
    brown = torch.randn(16, cfg.channels, 60 * cfg.hop).cumsum(-1)
    brown = brown - F.avg_pool1d(brown, 401, 1, 200, count_include_pad=False)
    audio = levelled(0.1 * brown)
    model, told_B = ConvCodec(cfg), torch.zeros(16, dtype=torch.bool)
    start_as_transform(model, audio)
    with torch.no_grad():
        z = model.encoder(audio, told_B)
        lost = (model.decoder(z, told_B) - audio).square().sum() / audio.square().sum()
    blocks = audio.unflatten(2, (60, cfg.hop)).transpose(1, 2).flatten(0, 1).flatten(1).double()
    energy = torch.linalg.eigvalsh(blocks.T @ blocks).flip(0)
    least = energy[cfg.dim :].sum() / energy.sum()
    assert float(lost) < 1.5 * float(least) + 0.1
    assert 0.5 < float(z.std()) < 2


def test_gradient_goes_straight_through_and_dropout_counts_codebooks() -> None:
    quantizer = ResidualQuantizer(3, 2, 4)
    learner = CodebookLearner(quantizer)
    learner.begun = torch.tensor(True)
    z = torch.randn(2, 4, 6, generator=seeded(), requires_grad=True)
    made, loss = learner(z, torch.tensor([1, 3]), seeded(), learn=False)
    made.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))
    codes = quantizer.encode(z.detach(), 3)
    torch.testing.assert_close(made[0], quantizer.decode(codes[:1, :, :1])[0])
    torch.testing.assert_close(made[1], quantizer.decode(codes[1:])[0])
    before = quantizer.entries_MKD.clone()
    learner(z, torch.tensor([1, 1]), seeded())
    assert not torch.equal(before[0], quantizer.entries_MKD[0])
    assert torch.equal(before[1:], quantizer.entries_MKD[1:])  # left out, not moved
    assert float(loss.detach()) > 0


@pytest.mark.parametrize("loudness", [1e-4, 1.0, 1e4])
def test_codes_pull_by_a_share_of_what_the_decoder_asks(loudness: float) -> None:
    """However little or much that is: a pull of its own strength would empty frames of what is not yet listened to."""
    learner = CodebookLearner(ResidualQuantizer(3, 2, 4))
    z = torch.randn(2, 4, 6, generator=seeded(), requires_grad=True)
    coded, commitment = learner(z, torch.tensor([3, 3]), seeded())
    asked = loudness * torch.randn(z.shape, generator=seeded(1))
    (pull,) = torch.autograd.grad(commitment, z, retain_graph=True)
    pull_towards_codes(z, coded, commitment, 0.25)
    coded.backward(asked)
    torch.testing.assert_close(z.grad - asked, 0.25 * asked.norm() * pull / pull.norm(), rtol=1e-3, atol=1e-9)


def test_frames_that_are_their_codes_are_not_pulled() -> None:
    z = torch.ones(1, 2, 3, requires_grad=True)
    coded = z * 1
    pull_towards_codes(z, coded, (z - z.detach()).square().sum(), 0.25)
    coded.backward(torch.ones_like(coded))
    assert torch.equal(z.grad, torch.ones_like(z))


def test_dropout_draws_every_number_of_codebooks_or_one_on_offer() -> None:
    cfg, generator = SOUNDSTREAM["tiny"], seeded()
    assert set(used_codebooks(cfg, "any", 200, generator).tolist()) == {1, 2, 3, 4}
    batches = [used_codebooks(cfg, "offered", 3, generator) for _ in range(25)]
    assert all(len(set(b.tolist())) == 1 for b in batches) and {int(b[0]) for b in batches} == {1, 2, 4}


# -- discriminators --------------------------------------------------------------------------------------------------
def test_ensembles_are_the_papers() -> None:
    ours, theirs = RivalDiscriminators("soundstream", 24_000, 4), RivalDiscriminators("encodec", 48_000, 4)
    assert (len(ours.spectra), len(ours.waves)) == (1, 3)
    assert [len(s.window_W) for s in theirs.spectra] == [4096, 2048, 1024, 512, 256]
    dilations = [tuple(layer.dilation) for layer in StftDiscriminator(512).layers]
    strides = [tuple(layer.stride) for layer in StftDiscriminator(512).layers]
    assert dilations == [(1, 1), (1, 1), (2, 1), (4, 1), (1, 1)]
    assert strides == [(1, 1), (1, 2), (1, 2), (1, 2), (1, 1)]
    audio_BN = torch.randn(2, 6000, generator=seeded())
    for ensemble in (ours, theirs):
        for maps in ensemble(audio_BN):
            assert all(len(m) == 2 for m in maps) and maps[-1].shape[1] == 1


def test_losses_are_the_equations() -> None:
    real = [[torch.full((1, 2), 2.0), torch.tensor([[0.5, 3.0]])]]
    fake = [[torch.full((1, 2), 5.0), torch.tensor([[-2.0, 0.25]])]]
    assert float(hinge_discriminator(real, fake)) == pytest.approx((0.5 + 0) / 2 + (0 + 1.25) / 2)
    assert float(hinge_generator(fake)) == pytest.approx((3 + 0.75) / 2)
    assert float(relative_features(real, fake)) == pytest.approx(3 / 2)


def test_the_adversary_learns_to_tell_and_comes_back() -> None:
    adversary = HingeAdversary(HingeConfig(kind="encodec", width=2, lr=1e-2), 24_000, "cpu")
    generator = seeded()

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        noise = 0.1 * torch.randn(2, 1, 1500, generator=generator)
        return torch.sin(torch.arange(1500) * 0.3).expand(2, 1, -1) + noise, noise.requires_grad_()

    losses = [float(adversary.play(*pair(), generator)["adversarial"].detach()) for _ in range(25)]
    assert losses[-1] > losses[0] + 0.1  # what is forged is told ever better
    real, fake = pair()
    told = adversary.play(real, fake, generator)
    (told["adversarial"] + told["features"]).backward()
    assert fake.grad is not None and float(fake.grad.abs().sum()) > 0
    again = HingeAdversary(HingeConfig(kind="encodec", width=2), 24_000, "cpu")
    again.load_tensors(adversary.state_tensors())
    assert torch.equal(again.networks(real[:, 0])[0][-1], adversary.networks(real[:, 0])[0][-1])


def test_each_rate_may_have_its_own_discriminators() -> None:
    """A batch of one rate leaves those of the others as they are; all of them come back."""
    cfg = HingeConfig(kind="encodec", width=2, per_rate=True)
    adversary, generator = HingeAdversary(cfg, 24_000, "cpu", rates=3), seeded()
    audio = torch.randn(2, 2, 1, 1200, generator=generator)

    def weights(one: HingeAdversary) -> list[list[torch.Tensor]]:
        return [[p.detach().clone() for p in judges.parameters()] for judges in one.sets]

    before = weights(adversary)
    adversary.play(audio[0], audio[1], generator, 1)
    same = [all(map(torch.equal, a, b)) for a, b in zip(before, weights(adversary), strict=True)]
    assert same == [True, False, True]
    again = HingeAdversary(cfg, 24_000, "cpu", rates=3)
    again.load_tensors(adversary.state_tensors())
    assert all(all(map(torch.equal, a, b)) for a, b in zip(weights(again), weights(adversary), strict=True))
    with pytest.raises(SpressoError) as caught:  # where clips of a batch differ in rate
        apply(ConvTrainingConfig(), {"adversary": {"per_rate": True}})
    assert caught.value.code == "bad_config"


# -- data and whole runs ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short sounds, two of them for validation."""
    folder, generator = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    rows = ["path,split"]
    for i in range(4):
        time_N = np.arange(20_000) / 44_100
        tone = np.sin(2 * np.pi * 300 * (i + 1) * time_N) * np.exp(-5 * time_N)
        audio_NC = 0.3 * np.stack([tone, 0.5 * tone], 1) + 0.01 * generator.standard_normal((20_000, 2))
        soundfile.write(folder / f"{i}.wav", audio_NC, 44_100)
        rows.append(f"{i}.wav,{'train' if i < 2 else 'val'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_clips_have_the_rivals_rate_and_channels(sounds: Path, tmp_path: Path) -> None:
    for rate, channels in ((24_000, 1), (48_000, 2)):
        build_clips(sounds, tmp_path, rate, channels)
        clips = Clips(tmp_path / clips_file("train"))
        assert clips.samples_CK.shape[0] == channels
        assert clips.length_I.tolist() == [round(20_000 * rate / 44_100)] * 2
        batch = clips.batch(3, rate // 4, seeded())
        assert batch.shape == (3, channels, rate // 4)
    ratio = clips.clip(0, 4000)[1].std() / clips.clip(0, 4000)[0].std()
    assert float(ratio) == pytest.approx(0.5, abs=0.05)  # left and right are what they were
    with pytest.raises(SpressoError) as caught:
        build_clips(tmp_path, tmp_path, 24_000, 1)
    assert caught.value.code == "no_training_data"


def test_noise_lies_0_to_20_db_below() -> None:
    audio = torch.sin(torch.arange(24_000) * 0.1).expand(40, 1, -1)
    noise = with_noise(audio, seeded()) - audio
    below_db = 10 * torch.log10(audio.square().mean(2) / noise.square().mean(2))
    assert below_db.min() > -0.01 and below_db.max() < 20.01 and below_db.std() > 3


OPTIONS = {
    "spectrogram": 'frames = 64\nbatch = 2\n[rival.adversary]\nkind = "illm"\nstart = 3\nlabeller_steps = 2\nwidth = 2',
    "soundstream": "seconds = 0.1\nbatch = 2\ndead = 0.1\n[rival.adversary]\nstart = 3\nwidth = 2",
    "encodec-ours": "seconds = 0.1\nbatch = 2\ndead = 0.1\n[rival.adversary]\nstart = 3\nwidth = 2\nper_rate = true",
    "encodec-prior": "chunks = 4\nbatch = 2",
}


def train(command: str, sounds: Path, run: Path, steps: int, *more: str) -> None:
    config = run.parent / f"{command}-{steps}.toml"
    config.write_text(
        f"[rival]\n{OPTIONS[command]}\n[rival.loop]\nmax_steps = {steps}\nlog_steps = 2\n", encoding="utf-8"
    )
    data = [] if command == "encodec-prior" else [str(sounds)]
    arguments = [
        "rival",
        command,
        *data,
        "--run",
        str(run),
        "--preset",
        "tiny",
        "--config",
        str(config),
        *more,
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("system", ["spectrogram", "soundstream", "encodec-ours"])
def test_train_resume_bundle_encode(system: str, sounds: Path, tmp_path: Path) -> None:
    """The whole path of each rival, by its commands."""
    run, folder = tmp_path / "run", tmp_path / "weights"
    train(system, sounds, run, 4)
    train(system, sounds, run, 6, "--resume")
    steps = [json.loads(line)["step"] for line in (run / "model" / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[-1] == 6
    if system == "encodec-ours":
        train("encodec-prior", sounds, run, 4)
    arguments = ["rival", "bundle", system, str(folder), "--run", str(run), "--preset", "tiny"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    opened = {"spectrogram": SpectrogramCodec, "soundstream": SoundStream.load, "encodec-ours": EncodecOurs.load}
    codec = opened[system](folder)
    audio_CN = 0.1 * np.random.default_rng(0).standard_normal((1, 9000)).astype(np.float32)
    for point in codec.points():
        decoded_CN = codec.decode(codec.encode(audio_CN, point.kbps))
        assert decoded_CN.shape == audio_CN.shape and np.isfinite(decoded_CN).all()


@pytest.mark.parametrize("system", ["soundstream", "encodec-ours"])
def test_resuming_what_has_not_begun_begins_it(system: str, sounds: Path, tmp_path: Path) -> None:
    """A service that always says --resume must not start from weights that are not the start."""
    train(system, sounds, tmp_path / "plain", 2)
    train(system, sounds, tmp_path / "resumed", 2, "--resume")
    plain, resumed = (load_checkpoint(tmp_path / name / "model" / CHECKPOINT)[0] for name in ("plain", "resumed"))
    assert plain.keys() == resumed.keys()
    for name, tensor in plain.items():
        assert torch.equal(tensor, resumed[name]), name
