"""The task in PyTorch: eager, channels-last, compiled; in bfloat16 by autocast.

Compiled it knows no penalty: torch.compile has no second derivative.
"""

import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.peers.peer import Arrays, Peer
from bench.task import (
    ADAM_EPSILON,
    BATCH_NORM_EPSILON,
    BLOCK_KERNEL,
    OUTPUT_KERNEL,
    RMSPROP_DECAY,
    RMSPROP_EPSILON,
    Task,
)


def build_generator(task: Task) -> nn.Sequential:
    """[B, latent_dim] to [B, 1, R, R]."""
    filters, base = task.generator_filters, task.base
    layers: list[nn.Module] = [
        nn.Linear(task.latent_dim, base * base * filters[0]),
        nn.Unflatten(1, (filters[0], base, base)),
    ]
    for before, after in itertools.pairwise(filters):
        layers += [
            nn.ConvTranspose2d(before, after, BLOCK_KERNEL, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after, BATCH_NORM_EPSILON, momentum=1 - task.batch_norm_momentum),
            nn.LeakyReLU(task.leaky_relu_slope),
        ]
    image = nn.Conv2d(filters[-1], 1, OUTPUT_KERNEL, padding=OUTPUT_KERNEL // 2)
    return nn.Sequential(*layers, image, nn.Tanh())


def build_discriminator(task: Task) -> nn.Sequential:
    """[B, 1, R, R] to logits [B, 1]."""
    filters = (1, *task.discriminator_filters)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(filters):
        layers += [
            nn.Conv2d(before, after, BLOCK_KERNEL, stride=2, padding=1),
            nn.LeakyReLU(task.leaky_relu_slope),
        ]
    head = nn.Linear(task.last**2 * filters[-1], 1)
    return nn.Sequential(*layers, nn.Dropout(task.dropout_rate), nn.Flatten(), head)


class TorchPeer(Peer):
    """The usual loop."""

    def __init__(
        self,
        task: Task,
        images: np.ndarray,
        device: str = "cpu",
        channels_last: bool = False,
        compile_mode: str = "",
    ) -> None:
        """`compile_mode`: of torch.compile; empty: eager."""
        self.task = task
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.device = torch.device(device)
        self.generator = build_generator(task).to(self.device, memory_format=layout)
        self.discriminator = build_discriminator(task).to(self.device, memory_format=layout)
        self.run_generator: nn.Module = self.generator
        self.run_discriminator: nn.Module = self.discriminator
        if compile_mode:
            self.run_generator = torch.compile(self.generator, mode=compile_mode)
            self.run_discriminator = torch.compile(self.discriminator, mode=compile_mode)
        self.autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=task.precision == "bfloat16"
        )
        self.generator_optimizer = _optimizer(self.generator, task, task.generator_learning_rate)
        self.discriminator_optimizer = _optimizer(
            self.discriminator, task, task.discriminator_learning_rate
        )
        self.average = None
        if task.ema_half_life_images:
            by_decay = get_ema_multi_avg_fn(task.ema_decay)
            self.average = AveragedModel(self.generator, multi_avg_fn=by_decay)
        self.updates = 0
        scaled = torch.from_numpy(images).float().permute(0, 3, 1, 2) / 127.5 - 1.0
        self.real = scaled.to(self.device).contiguous(memory_format=layout)

    def load(self, generator: Arrays, discriminator: Arrays) -> None:
        """Takes over initial weights, from [.., H, W, C] to [.., C, H, W]."""
        task = self.task
        base, last = task.base, task.last
        dense, bias, *blocks, kernel, image_bias = generator
        channels = (base, base, task.generator_filters[0])
        of_generator = [
            dense.reshape(-1, *channels).transpose(3, 1, 2, 0).reshape(-1, task.latent_dim),
            bias.reshape(channels).transpose(2, 0, 1).reshape(-1),
            *(_kernel(array) for array in blocks),
            _kernel(kernel),
            image_bias,
        ]
        *blocks, head, head_bias = discriminator
        features = (last, last, task.discriminator_filters[-1])
        of_discriminator = [
            *(_kernel(array) for array in blocks),
            head.reshape(features).transpose(2, 0, 1).reshape(1, -1),
            head_bias,
        ]
        for model, arrays in (
            (self.generator, of_generator),
            (self.discriminator, of_discriminator),
        ):
            with torch.no_grad():
                for parameter, array in zip(model.parameters(), arrays, strict=True):
                    parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))

    def weights(self) -> tuple[Arrays, Arrays]:
        """Copies of G's and D's trainable weights."""
        generator, discriminator = (
            [parameter.detach().cpu().numpy().copy() for parameter in model.parameters()]
            for model in (self.generator, self.discriminator)
        )
        return generator, discriminator

    def draw(self, latents: np.ndarray) -> np.ndarray:
        """G in training mode."""
        with torch.no_grad(), self.autocast:
            drawn = self.generator(torch.from_numpy(latents).to(self.device))
        return drawn.float().permute(0, 2, 3, 1).cpu().numpy()

    def discriminate(self, images: np.ndarray) -> np.ndarray:
        """D without dropout."""
        self.discriminator.eval()
        with torch.no_grad(), self.autocast:
            logits = self.discriminator(self._given(images))[:, 0]
        self.discriminator.train()
        return logits.float().cpu().numpy()

    def penalty(self, images: np.ndarray) -> float:
        """Of images as real and as generated ones."""
        given = self._given(images)
        return 0.0 if self.task.penalty == "none" else self._penalty(given, given).item()

    def step(self) -> None:
        """D on real and generated images, then G through the new D."""
        of_discriminator = [
            self._train_discriminator() for _ in range(self.task.discriminator_steps)
        ]
        self.discriminator.requires_grad_(False)
        self.last_losses = self._train_generator(), torch.stack(of_discriminator).mean()
        self.discriminator.requires_grad_(True)
        if self.average is not None:
            self.average.update_parameters(self.generator)

    def _given(self, images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)

    def _generate(self) -> torch.Tensor:
        shape = (self.task.batch_size, self.task.latent_dim)
        with self.autocast:
            return self.run_generator(torch.randn(shape, device=self.device)).float()

    def _discriminate(self, images: torch.Tensor) -> torch.Tensor:
        with self.autocast:
            return self.run_discriminator(images).float()

    def _train_discriminator(self) -> torch.Tensor:
        with torch.no_grad():
            fake = self._generate()
        real_logits, fake_logits = self._discriminate(torch.cat([self.real, fake])).chunk(2)
        if self.task.objective == "wasserstein":
            loss = fake_logits.mean() - real_logits.mean()
        else:
            both = _bce(real_logits, self.task.real_label) + _bce(fake_logits, 0.0)
            loss = self.task.half_weight * both
        if self.task.has_penalty(self.updates):
            loss = loss + self._penalty(self.real, fake)
        self.updates += 1
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()
        return loss.detach()

    def _train_generator(self) -> torch.Tensor:
        logits = self._discriminate(self._generate())
        wasserstein = self.task.objective == "wasserstein"
        loss = -logits.mean() if wasserstein else _bce(logits, 1.0)
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        return loss.detach()

    def _penalty(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """R1, or WGAN-GP's at random places between, times its weight."""
        points = real.clone()
        if self.task.penalty == "wgan_gp":
            points = torch.lerp(real, fake, torch.rand(len(real), 1, 1, 1, device=self.device))
        logits = self._discriminate(points.requires_grad_())
        (gradients,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
        squares = gradients.square().sum(dim=(1, 2, 3))
        penalties = squares / 2 if self.task.penalty == "r1" else (squares.sqrt() - 1).square()
        return self.task.penalty_factor * penalties.mean()


def _optimizer(model: nn.Module, task: Task, learning_rate: float) -> torch.optim.Optimizer:
    if task.optimizer == "adam":
        betas = (task.beta_1, task.beta_2)
        return torch.optim.Adam(model.parameters(), learning_rate, betas, ADAM_EPSILON)
    # PyTorch adds epsilon after the root.
    return torch.optim.RMSprop(
        model.parameters(), learning_rate, alpha=RMSPROP_DECAY, eps=RMSPROP_EPSILON**0.5
    )


def _bce(logits: torch.Tensor, label: float) -> torch.Tensor:
    targets = torch.full_like(logits, label)
    return functional.binary_cross_entropy_with_logits(logits, targets)


def _kernel(array: np.ndarray) -> np.ndarray:
    """[K, K, a, b] to [b, a, K, K], for both kinds of convolution; others as they are."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
