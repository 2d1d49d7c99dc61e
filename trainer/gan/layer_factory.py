"""Makes the layers that a network is built of, with its normalisation, precision and seeds."""

import dataclasses
from collections.abc import Iterator

import keras

from trainer.choices import Norm
from trainer.gan.convolutions import ShiftedSumConv2D, UnitStrideConv2DTranspose
from trainer.gan.layers import Normalization, SpectralConv2D, SpectralDense

STRIDED_KERNEL_SIZE = 4
"""A multiple of the stride: transposed convolutions overlap evenly."""


@dataclasses.dataclass(frozen=True)
class Forms:
    """In which of several forms, equal up to rounding, layers are computed; plain: as in Keras."""

    unit_stride: bool = False
    """Transposed convolutions as convolutions.py has them."""
    shifted_sum: bool = False
    """Convolutions to few filters as convolutions.py has them."""
    fused_batch_norm: bool = False
    """BatchNorm in training as one operation, whose bits depend on the number of threads."""


@dataclasses.dataclass
class LayerFactory:
    """Makes the layers of one network, all in the same manner; kernels are Glorot uniform."""

    seeds: Iterator[int]
    """Of the initial weights, one a kernel in the order of making."""
    policy: str
    """Keras dtype policy."""
    leaky_relu_slope: float
    norm_kind: Norm
    batch_norm_momentum: float = 0.99
    num_classes: int = 0
    """Above 0: normalisations have a scale and an offset for each class."""
    spectral_norm: bool = False
    forms: Forms = Forms()

    def convolution(
        self, filters: int, kernel_size: int, *, strides: int = 1, normalized: bool = False
    ) -> keras.layers.Layer:
        """A convolution; `normalized` says that the normalisation follows."""
        shifts = self.forms.shifted_sum and strides == 1
        plain = ShiftedSumConv2D if shifts else keras.layers.Conv2D
        kind = SpectralConv2D if self.spectral_norm else plain
        return self._convolution(kind, filters, kernel_size, strides, normalized)

    def transposed_convolution(self, filters: int) -> keras.layers.Layer:
        """Doubles the resolution; a normalisation follows."""
        unit_stride = self.forms.unit_stride
        kind = UnitStrideConv2DTranspose if unit_stride else keras.layers.Conv2DTranspose
        return self._convolution(kind, filters, STRIDED_KERNEL_SIZE, strides=2, normalized=True)

    def dense(self, units: int, *, use_bias: bool = True) -> keras.layers.Layer:
        """A dense layer."""
        kind = SpectralDense if self.spectral_norm else keras.layers.Dense
        return kind(units, use_bias=use_bias, dtype=self.policy, kernel_initializer=self._glorot())

    def embedding(self, dim: int, num_classes: int) -> keras.layers.Layer | None:
        """From one-hot labels to `dim` numbers; None where there are no classes or no numbers."""
        return self.dense(dim, use_bias=False) if num_classes and dim else None

    def normalization(self) -> Normalization:
        """The network's kind of normalisation."""
        return Normalization(
            self.norm_kind,
            self.batch_norm_momentum,
            self.num_classes,
            self.policy,
            fused=self.forms.fused_batch_norm,
        )

    def activation(self) -> keras.layers.Layer:
        """LeakyReLU."""
        return keras.layers.LeakyReLU(self.leaky_relu_slope, dtype=self.policy)

    def upsampling(self) -> keras.layers.Layer:
        """Doubles the resolution by repeating each pixel."""
        return keras.layers.UpSampling2D(2, interpolation="nearest", dtype=self.policy)

    def _convolution(
        self, kind: type, filters: int, kernel_size: int, strides: int, normalized: bool
    ) -> keras.layers.Layer:
        return kind(
            filters,
            kernel_size,
            strides=strides,
            padding="same",
            # In front of a normalisation, the gradient of a bias would be zero but for
            # rounding, which RMSprop would turn into full steps.
            use_bias=not normalized or self.norm_kind == "none",
            dtype=self.policy,
            kernel_initializer=self._glorot(),
        )

    def _glorot(self) -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed=next(self.seeds))
