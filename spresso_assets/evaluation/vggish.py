"""VGGish from a local file of weights: the embedding of the original Frechet audio distance.

Source of the front end and the layers: Hershey et al. 2017 and the constants of its public release, as used by common
FAD tools: no PCA, no last ReLU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spresso_assets.evaluation.embedders import Embedding, Mono, bad, missing, windows

RATE, WINDOW, HOP, FFT, BANDS, FRAMES = 16_000, 400, 160, 512, 64, 96
PATCH = (FRAMES - 1) * HOP + WINDOW  # samples behind 96 frames
MEL_HZ = (125.0, 7500.0)


class VGGish:
    """128 values per 0.96 s of mono 16 kHz sound; blind above 7.5 kHz.

    Reads a safetensors file with the tensors of the public PyTorch port: ``features.N`` and ``embeddings.N``, weight
    and bias each.
    """

    name = "vggish"
    width = 128
    whitened = False

    def __init__(self, file: Path) -> None:
        """Load the weights.

        Raises:
            SpressoError: ``embedder_missing`` without the file, ``embedder_bad`` if it does not fit.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not file.is_file():
            raise missing("vggish", f"{file} is no file", "Name VGGish's weights as a .safetensors file.")
        self.network = layers()
        try:
            self.network.load_state_dict(load_file(file))
        except (SafetensorError, RuntimeError, OSError) as error:
            raise bad("vggish", file, error) from error
        self.network.eval()

    def __call__(self, x_N: Mono) -> Embedding:
        """As `embedders.Embedder`."""
        patches_WTM = np.stack([log_mel(w_n) for w_n in windows(x_N, RATE, PATCH, FRAMES * HOP)])
        with torch.inference_mode():
            vectors: Tensor = self.network(torch.from_numpy(patches_WTM))
        return vectors.double().numpy()


def layers() -> nn.Module:
    """Log-mel patches [W, 96, 64] -> [W, 128]."""
    steps: list[nn.Module] = []
    before = 1
    for channels, count in ((64, 1), (128, 1), (256, 2), (512, 2)):
        for _ in range(count):
            steps += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        steps.append(nn.MaxPool2d(2, 2))
    dense = [nn.Linear(512 * 6 * 4, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 128)]
    return _Network(nn.Sequential(*steps), nn.Sequential(*dense))


class _Network(nn.Module):
    def __init__(self, features: nn.Sequential, embeddings: nn.Sequential) -> None:
        super().__init__()
        self.features, self.embeddings = features, embeddings

    def forward(self, patches_WTM: Tensor) -> Tensor:
        maps_WCTM: Tensor = self.features(patches_WTM[:, None])
        # The original flattens with channels last.
        found: Tensor = self.embeddings(maps_WCTM.permute(0, 2, 3, 1).flatten(1))
        return found


def log_mel(x_n: Mono) -> NDArray[np.float32]:
    """15,600 samples at 16 kHz -> log(mel magnitude + 0.01), [96, 64]; 25 ms Hann windows every 10 ms."""
    hann_w = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames_TW = np.lib.stride_tricks.sliding_window_view(x_n, WINDOW)[::HOP][:FRAMES]
    magnitude_TF = np.abs(np.fft.rfft(frames_TW * hann_w, FFT))
    return np.log(magnitude_TF @ mel_weights() + 0.01).astype(np.float32)


def mel_weights() -> NDArray[np.float64]:
    """Triangles of height 1 that are straight in mel (1127 ln(1 + f/700)), not in hertz: [257, 64]."""
    bins_F1 = 1127 * np.log1p(np.fft.rfftfreq(FFT, 1 / RATE) / 700)[:, None]
    low, high = (float(1127 * np.log1p(hz / 700)) for hz in MEL_HZ)
    edges = np.linspace(low, high, BANDS + 2)
    rise = (bins_F1 - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins_F1) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0, np.minimum(rise, fall)))
