"""Sound to log-mel spectrograms, as Whisper reads them.

Source: Radford et al., arXiv 2212.04356 (2022), section 2.2; the mel scale is Slaney's, "Auditory Toolbox" (1998).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from headwise.errors import DataError
from headwise.models.files import Checkpoint
from headwise.models.files.safetensors_files import read_json
from headwise.shapes import Array


@dataclass(frozen=True)
class AudioPreprocessor:
    """How sound becomes input_features."""

    bins: int  # C, mel bins
    frames: int  # T; the sound is cut or padded with silence to T · hop samples
    rate: int = 16000  # samples in a second
    # samples of a window, and from one to the next
    window: int = 400
    hop: int = 160

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, bins: int, frames: int) -> AudioPreprocessor:
        """The options of preprocessor_config.json, if the folder has one; Whisper's own otherwise."""
        path = checkpoint.path / "preprocessor_config.json"
        options: Mapping[str, Any] = read_json(path) if path.is_file() else {}
        return cls(
            bins, frames, options.get("sampling_rate", 16000), options.get("n_fft", 400), options.get("hop_length", 160)
        )

    def __call__(self, sound: npt.ArrayLike | list[Any], sampling_rate: int | None = None) -> dict[str, Array]:
        """Compute the spectrogram of one sound, or of several.

        `sound` (samples,): between −1 and 1.
        `sampling_rate`: checked against the model's.
        Returns ``input_features`` (B, C, T).
        """
        if sampling_rate not in (None, self.rate):
            raise DataError(f"sampling_rate: expected {self.rate}; got {sampling_rate}. Resample the sound first.")
        several = sound if isinstance(sound, list) and np.ndim(sound[0]) else [sound]
        return {"input_features": np.stack([self._one(np.asarray(item)) for item in several])}

    def _one(self, sound: npt.NDArray[Any]) -> Array:
        if sound.ndim != 1 or sound.dtype.kind != "f":
            raise DataError(f"sound: expected floats of shape (samples,); got {sound.dtype} of shape {sound.shape}.")
        samples = self.frames * self.hop
        padded = np.zeros(samples, np.float64)
        padded[: min(len(sound), samples)] = sound[:samples]
        padded = np.pad(padded, self.window // 2, mode="reflect")
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        windows = sliding_window_view(padded, self.window)[:: self.hop][: self.frames]
        power = np.abs(np.fft.rfft(windows * hann)) ** 2  # (T, window / 2 + 1)
        mel = power @ mel_filters(self.bins, self.window, self.rate).T
        logarithm = np.log10(np.maximum(mel, 1e-10))
        logarithm = np.maximum(logarithm, logarithm.max() - 8.0)
        return np.asarray((logarithm.T + 4.0) / 4.0, np.float32)


def mel_filters(bins: int, window: int, rate: int) -> Array:
    """Triangular filters (bins, window / 2 + 1) of unit area, evenly spaced on Slaney's mel scale up to 8 kHz."""
    top = min(8000.0, rate / 2)
    edges = _mel_to_hertz(np.linspace(0.0, _hertz_to_mel(top), bins + 2))
    frequencies = np.linspace(0, rate / 2, window // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None])


_BREAK, _LINEAR, _STEP = 1000.0, 200.0 / 3, np.log(6.4) / 27  # linear up to 1 kHz, then logarithmic


def _hertz_to_mel(hertz: float) -> float:
    if hertz < _BREAK:
        return hertz / _LINEAR
    return float(_BREAK / _LINEAR + np.log(hertz / _BREAK) / _STEP)


def _mel_to_hertz(mel: Array) -> Array:
    start = _BREAK / _LINEAR
    return np.where(mel < start, mel * _LINEAR, _BREAK * np.exp(_STEP * (mel - start)))
