"""Model bundles: a folder with config.json, weights.safetensors and MODEL_CARD.md, named by the hash of its weights."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spresso_assets.codec.config import POOLS, PRESETS, ModelConfig
from spresso_assets.codec.entropy import EntropyTables
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from spresso_assets.codec.codec import SPresso

CONFIG, WEIGHTS, CARD = "config.json", "weights.safetensors", "MODEL_CARD.md"
SHIPPED = Path(__file__).resolve().parent.parent / "models" / "small"


def default_bundle() -> Path:
    """The bundle that ships with the package."""
    return SHIPPED


def weights_hash(bundle: Path) -> str:
    """SHA-256 of the weights file: the identity of the model in every stream and in the catalog.

    Raises:
        SpressoError: ``model_missing`` (exit 13).
    """
    path = bundle / WEIGHTS
    if not path.is_file():
        raise SpressoError(
            f"no model weights in {bundle}",
            code="model_missing",
            hint="Name a bundle folder with --bundle, or reinstall the package to get the shipped one.",
            exit_code=ExitCode.MODEL_MISSING,
            kind=FaultKind.ENVIRONMENT,
        )
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as e:
        raise _corrupt(f"{bundle.name}/{WEIGHTS} cannot be read: {e.strerror}") from e


def read_config(bundle: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """Model sizes, and the bundle's other facts (recorded weights hash, measured quality). No torch.

    Raises:
        SpressoError: ``model_missing`` or ``bundle_corrupt``.
    """
    path = bundle / CONFIG
    if not path.is_file():
        weights_hash(bundle)  # says model_missing if the folder is no bundle at all
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        facts = {k: v for k, v in data.items() if k != "model"}
        if not isinstance(facts.get("weights_sha256"), str):
            raise ValueError("it records no hash of the weights")
        return ModelConfig.from_dict(data["model"]), facts
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        raise _corrupt(f"{bundle.name}/{CONFIG} is not a bundle description this release reads: {_line(e)}") from e


def check_bundle(bundle: Path) -> tuple[ModelConfig, str]:
    """Sizes and weights hash of a bundle whose weights are those that its config records. No torch.

    Raises:
        SpressoError: ``model_missing``, ``bundle_corrupt``, ``weights_mismatch`` (all exit 13).
    """
    digest = weights_hash(bundle)
    config, facts = read_config(bundle)
    if facts["weights_sha256"] != digest:
        raise SpressoError(
            f"the weights of bundle '{config.name}' do not have the hash that its config records",
            code="weights_mismatch",
            hint="The file is damaged or was replaced: install the bundle again.",
            exit_code=ExitCode.MODEL_MISSING,
            kind=FaultKind.ENVIRONMENT,
        )
    return config, digest


def read_entropy(bundle: Path) -> tuple[str, dict[int, EntropyTables]]:
    """Weights hash, and the entropy tables by t: all that cutting and checking streams needs. No torch.

    Raises:
        SpressoError: as `check_bundle`.
    """
    from safetensors import SafetensorError, safe_open

    config, digest = check_bundle(bundle)
    try:
        with safe_open(bundle / WEIGHTS, framework="numpy") as tensors:
            names: list[str] = list(tensors.keys())
            rates = {name.split(".")[1] for name in names if name.startswith("entropy.")}
            return digest, {
                POOLS[rate]: EntropyTables(
                    tensors.get_tensor(f"entropy.{rate}.frequency_MK"), tensors.get_tensor(f"entropy.{rate}.rank_MRR")
                )
                for rate in rates
            }
    except (SafetensorError, LookupError, ValueError, OSError) as e:
        raise _corrupt(f"the entropy tables of bundle '{config.name}' cannot be read: {_line(e)}") from e


def save_bundle(
    bundle: Path,
    config: ModelConfig,
    modules: dict[str, nn.Module],
    facts: dict[str, Any],
    entropy: dict[str, EntropyTables] | None = None,
) -> str:
    """Write weights (float16; statistics float32; entropy tables as they are) and config; returns the weights hash."""
    import torch
    from safetensors.torch import save_file

    bundle.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            # Normalisation constants stay float32: a rounded mean would shift every latent.
            keep = (
                value.ndim == 0
                or "residual_std" in key
                or key.endswith(("mean_C", "std_C", "mean_D", "scale", "frequency_R", "phase_R"))
            )
            tensors[f"{name}.{key}"] = value.detach().cpu().contiguous() if keep else value.detach().cpu().half()
    for rate, tables in (entropy or {}).items():
        tensors[f"entropy.{rate}.frequency_MK"] = torch.from_numpy(tables.frequency_MK)
        tensors[f"entropy.{rate}.rank_MRR"] = torch.from_numpy(tables.rank_MRR)
    save_file(tensors, bundle / WEIGHTS)
    digest = weights_hash(bundle)
    data = {"model": config.to_dict(), "weights_sha256": digest, **facts}
    (bundle / CONFIG).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return digest


def load_bundle(bundle: Path, device: str = "cpu") -> SPresso:
    """Open a bundle and check it against its recorded hash.

    Raises:
        SpressoError: ``model_missing``, ``bundle_corrupt``, ``weights_mismatch`` (all exit 13).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from spresso_assets.codec.codec import SPresso

    config, digest = check_bundle(bundle)
    try:
        tensors = load_file(bundle / WEIGHTS)
        entropy = _take_entropy_tables(tensors)
        with _uninitialised()():
            modules = build_modules(config)
        stored = {f"quantizer.{k.split('.')[1]}" for k in tensors if k.startswith("quantizer.")}
        modules = {name: m for name, m in modules.items() if not name.startswith("quantizer.") or name in stored}
        for name, module in modules.items():
            own = {k: v for k, v in tensors.items() if k.startswith(f"{name}.")}
            module.load_state_dict({k.removeprefix(f"{name}."): v for k, v in own.items()})
        # A sum is finite if all its parts are, and far quicker than looking at each.
        damaged = [f"{n}.{k}" for n, m in modules.items() for k, v in m.state_dict().items() if not v.sum().isfinite()]
    except SafetensorError as e:
        raise _corrupt(f"{bundle.name}/{WEIGHTS} is no safetensors file: {_line(e)}") from e
    except Exception as e:  # sizes that no network can have fail in as many ways as there are layers
        raise _corrupt(f"the weights of bundle '{config.name}' do not fit its config: {_line(e)}") from e
    unknown = [k for k in tensors if not k.startswith((*(f"{name}." for name in modules), "student."))]
    if unknown:
        raise _corrupt(f"the weights of bundle '{config.name}' do not fit its config: {unknown[0]} has no place in it")
    if damaged:
        raise _corrupt(f"the weights of bundle '{config.name}' hold values that are not finite: {damaged[0]}")
    quantizers: Any = {k.split(".")[1]: m for k, m in modules.items() if k.startswith("quantizer.")}
    parts: Any = modules
    updates = {k.removeprefix("student."): v.float() for k, v in tensors.items() if k.startswith("student.")}
    return SPresso(
        config,
        parts["autoencoder"],
        parts["transformer"],
        parts["encoder"],
        quantizers,
        digest,
        device,
        updates,
        entropy,
    )


def _take_entropy_tables(tensors: dict[str, Tensor]) -> dict[str, EntropyTables]:
    """Remove the entropy tables, by frame rate, from a bundle's tensors."""
    rates = dict.fromkeys(name.split(".")[1] for name in tensors if name.startswith("entropy."))
    return {
        rate: EntropyTables(
            tensors.pop(f"entropy.{rate}.frequency_MK").numpy(), tensors.pop(f"entropy.{rate}.rank_MRR").numpy()
        )
        for rate in rates
    }


@cache
def _uninitialised() -> type[Any]:
    """A context in which random numbers are not drawn: what they would fill is loaded right after."""
    import torch
    from torch.overrides import TorchFunctionMode

    init = torch.nn.init
    drawing = (torch.Tensor.uniform_, torch.Tensor.normal_, init.uniform_, init.normal_, init.kaiming_uniform_)

    class Uninitialised(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func in drawing:
                return args[0] if args else kwargs["tensor"]
            if func is torch.randn and not kwargs:
                return torch.empty(*args)
            return func(*args, **kwargs)

    return Uninitialised


def _corrupt(problem: str) -> SpressoError:
    return SpressoError(
        problem,
        code="bundle_corrupt",
        hint="Install the bundle again, or update spresso-assets.",
        exit_code=ExitCode.MODEL_MISSING,
        kind=FaultKind.ENVIRONMENT,
    )


def _line(error: Exception) -> str:
    """What an error says, in one line; torch puts a heading above the first finding."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)][:200] if lines else type(error).__name__


def build_modules(config: ModelConfig) -> dict[str, nn.Module]:
    """Freshly initialised modules under the names that a bundle stores them by."""
    from spresso_assets.codec.autoencoder import AudioAE
    from spresso_assets.codec.latent_encoder import build_latent_encoder
    from spresso_assets.codec.quantizer import QINCo2
    from spresso_assets.codec.transformer import Transformer

    return {
        "autoencoder": AudioAE(config.autoencoder, config.sigma_data),
        "transformer": Transformer(config.transformer, config.sigma_data),
        "encoder": build_latent_encoder(config.latent_encoder),
        **{f"quantizer.{rate}": QINCo2(q) for rate, q in config.quantizers.items()},
    }


def write_random_bundle(bundle: Path, preset: str = "tiny", seed: int = 0) -> str:
    """An untrained bundle: every code path, no quality. For tests and for measuring speed.

    Returns:
        The weights hash.
    """
    import torch

    config = PRESETS[preset]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = build_modules(config)
        transformer: Any = modules["transformer"]
        # As trained networks do, and zero-initialised ones do not: let seeds and codes be heard.
        torch.nn.init.normal_(transformer.head.weight, std=0.1)
        for name, value in transformer.state_dict().items():
            if name.endswith(("audio_modulation.weight", "audio.modulate.weight")):
                torch.nn.init.normal_(value, std=0.2)
            elif name.endswith("up_OR"):
                torch.nn.init.normal_(value, std=0.1)
            elif name.startswith("residual_std_"):
                value.fill_(0.2)
        if config.autoencoder.encoder == "logmel":
            autoencoder: Any = modules["autoencoder"]
            autoencoder.mean_C.fill_(-5.0)
            autoencoder.std_C.fill_(2.0)
    return save_bundle(bundle, config, modules, {"trained": False})
