"""The adversarial step: D's updates, then G's, by gradients and sums over all groups.

A step updates D `train.discriminator_steps` times, each time on fresh real and generated
images, then G through the updated D (Goodfellow et al. 2014, algorithm 1).

The gradients are pure functions, compiled by XLA or not; every write to a variable stays outside.

The same numbers on any number of replicas: a program always computes one group, so
a group's gradients have the same bits wherever it is computed; and more than two groups are
added up in float64, in which sums of float32 do not depend on the order. Only the sum over all
replicas is divided, since a part of it would be rounded, unless the divisor is a power of two.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer.config import Config
from trainer.gan.gradients import Group, GroupGradients, Metrics, Result, Weights
from trainer.gan.kernels import set_graph_optimizer, uses_xla
from trainer.gan.metric_names import metric_names
from trainer.gan.state import Gan

Batch = tuple[Any, Any]
"""Real images, [B / replicas, H, W, C] uint8 on each replica, and labels, [B / replicas] int32."""


class AdversarialStep:
    """One step on every replica of a strategy; call it with D's batches."""

    def __init__(
        self,
        gan: Gan,
        config: Config,
        strategy: tf.distribute.Strategy,
        sum_dtype: tf.DType = tf.float64,
    ) -> None:
        """Prepares the gradients, which are traced and compiled at the first call.

        Until another step is made, all that this process traces is left to the graph optimizer or
        not, as this step needs it. The replicas must be able to share out the groups evenly; in a
        `sum_dtype` of float32 the last bits may depend on their number.
        """
        self.gan = gan
        self.config = config
        self.strategy = strategy
        self.num_groups = config.train.global_batch_size // config.group_size
        self.groups_per_replica = self.num_groups // strategy.num_replicas_in_sync
        self.sum_dtype = sum_dtype
        gradients, xla = GroupGradients(gan, config), uses_xla(config.train.jit_compile)
        set_graph_optimizer(xla)
        # AutoGraph would take longer to rewrite all that is called than the rest of tracing takes.
        self.discriminator_gradients, self.generator_gradients = (
            tf.function(each, jit_compile=xla, autograph=False)
            for each in (gradients.of_discriminator, gradients.of_generator)
        )

    @tf.function(autograph=False)
    def __call__(self, batches: Sequence[Batch], stop: tf.Tensor) -> tuple[Metrics, tf.Tensor]:
        """Updates D once for each batch, then G, then the step counter.

        Args:
            batches: `train.discriminator_steps` batches.
            stop: scalar float32, 1 where this worker was told to stop and 0 elsewhere.

        Returns:
            The metrics, means over the global batch, and the mean of all workers' `stop`,
            which lets all of them stop after the same step.
        """
        return self._step(batches, stop)

    @tf.function(autograph=False)
    def run_many(
        self, batches: Iterator[Batch], steps: tf.Tensor, stop: tf.Tensor
    ) -> tuple[Metrics, tf.Tensor]:
        """Several steps without a return to Python, as a TPU's host wants it.

        Args:
            batches: a distributed iterator.
            steps: scalar int32, at least 1.
            stop: as `__call__` takes it.

        Returns:
            The metrics of each step, [steps] float32, and the mean of all `stop`.
        """

        def one_step(
            index: tf.Tensor, series: dict[str, tf.TensorArray], _: tf.Tensor
        ) -> tuple[tf.Tensor, dict[str, tf.TensorArray], tf.Tensor]:
            taken = [next(batches) for _ in range(self.config.train.discriminator_steps)]
            metrics, anyone_stops = self._step(taken, stop)
            written = {name: each.write(index, metrics[name]) for name, each in series.items()}
            return index + 1, written, anyone_stops

        names = metric_names(penalized=self.config.loss.penalty != "none")
        empty = {name: tf.TensorArray(tf.float32, steps) for name in names}
        _, series, anyone_stops = tf.while_loop(
            lambda index, *_: index < steps, one_step, (0, empty, tf.zeros([]))
        )
        return {name: values.stack() for name, values in series.items()}, anyone_stops

    def _step(self, batches: Sequence[Batch], stop: tf.Tensor) -> tuple[Metrics, tf.Tensor]:
        # The number of the batch, not of the step, keys data, noise and dropout: a rollback that
        # skips batches must not meet the same noise again.
        batch_number = self.gan.step + self.gan.batches_skipped
        metrics, stops = self.strategy.run(
            self.replica_step, args=(batches, batch_number, self._ema_decay(), stop)
        )
        self.gan.step.assign_add(1)
        first = self.strategy.experimental_local_results
        return {name: first(value)[0] for name, value in metrics.items()}, first(stops)[0]

    def replica_step(
        self,
        batches: Sequence[Batch],
        batch_number: tf.Tensor,
        ema_decay: tf.Tensor,
        stop: tf.Tensor,
    ) -> tuple[Metrics, tf.Tensor]:
        """What each replica runs; call it in a replica context, as `strategy.run` does.

        Takes and returns what `__call__` does, but this replica's share of the batches; the
        number of the step's batch, scalar int64; and `_ema_decay`.
        """
        gan, config = self.gan, self.config
        d_metrics = []
        for update, batch in enumerate(batches):
            d_before = Weights.of(gan.discriminator)
            number = batch_number * len(batches) + update
            d_metrics.append(self._update_discriminator(batch, number, d_before))

        # Alternating: G learns from the updated D. Simultaneous: from D's weights before its last
        # update. In both, the relativistic objectives look at the images of that update again.
        alternating = config.train.update_order == "alternating"
        d_seen = Weights.of(gan.discriminator) if alternating else d_before
        g_metrics = self._update_generator(batches[-1], batch_number, d_seen)
        if gan.ema is not None:
            _move_average(gan.ema, gan.generator, ema_decay)

        d_means, g_means, anyone_stops = _means_over_replicas(
            (_added(d_metrics), self.num_groups * len(batches)),
            (g_metrics, self.num_groups),
            (tf.cast(stop, self.sum_dtype), self.strategy.num_replicas_in_sync),
        )
        return d_means | g_means, anyone_stops

    def _update_discriminator(
        self, batch: Batch, batch_number: tf.Tensor, discriminator: Weights
    ) -> Metrics:
        """Updates D from its weights, on a batch and G's images; the groups' summed metrics."""
        gan, generator = self.gan, Weights.of(self.gan.generator)
        results = (
            self._penalized_gradients(generator, discriminator, group)
            for group in self._groups(batch, batch_number)
        )
        clip_norm = self.config.optimizer.discriminator.clip_norm
        return self._apply(gan.discriminator, gan.discriminator_optimizer, results, clip_norm)

    def _update_generator(
        self, batch: Batch, batch_number: tf.Tensor, discriminator: Weights
    ) -> Metrics:
        """Updates G through a discriminator's weights; the groups' summed metrics."""
        gan, generator = self.gan, Weights.of(self.gan.generator)
        results = (
            self.generator_gradients(generator, discriminator, group)
            for group in self._groups(batch, batch_number)
        )
        clip_norm = self.config.optimizer.generator.clip_norm
        return self._apply(gan.generator, gan.generator_optimizer, results, clip_norm)

    def _groups(self, batch: Batch, batch_number: tf.Tensor) -> Iterator[Group]:
        """This replica's groups of a batch."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        first = tf.cast(replica, tf.int64) * self.groups_per_replica
        shares = (tf.split(part, self.groups_per_replica) for part in batch)
        for index, (images, labels) in enumerate(zip(*shares, strict=True)):
            yield Group(images, labels, batch_number, first + index)

    def _penalized_gradients(
        self, generator: Weights, discriminator: Weights, group: Group
    ) -> Result:
        """D's gradients, with the penalty where it is due."""
        penalized, every = self.config.loss.penalty != "none", self.config.loss.penalty_every_steps

        def gradients(with_penalty: bool) -> Result:
            return self.discriminator_gradients(
                generator, discriminator, group, with_penalty=with_penalty
            )

        if not penalized or every == 1:
            return gradients(penalized)
        is_due = group.batch_number % every == 0
        return tf.cond(is_due, lambda: gradients(True), lambda: gradients(False))

    def _apply(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        groups: Iterable[Result],
        clip_norm: float,
    ) -> Metrics:
        """Applies the gradients and statistics of this replica's groups; their summed metrics."""
        sums = _added([self._summands(group, clip_norm) for group in groups])
        # Keras adds up the gradients of the replicas, then takes them back to float32.
        optimizer.apply(self._parts_of_mean(sums.gradients, clip_norm), model.trainable_variables)
        if sums.non_trainable:
            whole = _sum_over_replicas(sums.non_trainable)
            for variable, value in zip(model.non_trainable_variables, whole, strict=True):
                variable.assign(tf.cast(value / self.num_groups, tf.float32))
        return sums.metrics

    def _summands(self, group: Result, clip_norm: float) -> Result:
        """What is added up of a group, in `sum_dtype` where the order could leave a trace."""

        def wide(nest: Any) -> Any:
            return tf.nest.map_structure(lambda value: tf.cast(value, self.sum_dtype), nest)

        # Two float32 numbers have the same sum in either order, three may not. A norm is taken in
        # float64 all the same, and so are the metrics, which are added up over D's updates too.
        few = self.num_groups <= 2 and not clip_norm
        return group._replace(metrics=wide(group.metrics)) if few else Result(*wide(group))

    def _parts_of_mean(self, gradients: list[tf.Tensor], clip_norm: float) -> list[tf.Tensor]:
        """Parts of the replicas that add up to the mean gradient, its norm `clip_norm` at most."""
        is_power_of_two = self.num_groups & (self.num_groups - 1) == 0
        if is_power_of_two and not clip_norm:
            return [gradient / self.num_groups for gradient in gradients]
        # Rounding a part or knowing the norm takes the whole: the first replica brings it, and
        # the others zeros, so that the sum has the same bits for any number of replicas.
        whole = [gradient / self.num_groups for gradient in _sum_over_replicas(gradients)]
        if clip_norm:
            whole, _ = tf.clip_by_global_norm(whole, clip_norm)
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return [tf.where(tf.equal(replica, 0), gradient, 0.0) for gradient in whole]

    def _ema_decay(self) -> tf.Tensor:
        """Share of itself that G's moving average keeps in this step, scalar float32.

        Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", with
        the ramp-up of the authors' code: early on the half-life grows with the images so far.
        """
        train = self.config.train
        images = tf.cast(self.gan.step * train.global_batch_size, tf.float64)
        half_life = tf.constant(train.ema_half_life_images, tf.float64)
        if train.ema_ramp_up_share:
            half_life = tf.minimum(half_life, images * train.ema_ramp_up_share)
        # A half-life of 0 keeps nothing.
        return tf.cast(0.5 ** (train.global_batch_size / half_life), tf.float32)


def _means_over_replicas(*sums_and_counts: tuple[Any, int]) -> list[Any]:
    """Nests of one replica's sums, each with the count over all replicas, to float32 means."""
    totals = _sum_over_replicas([sums for sums, _ in sums_and_counts])
    return [
        tf.nest.map_structure(lambda total, n=count: tf.cast(total / n, tf.float32), nest)
        for nest, (_, count) in zip(totals, sums_and_counts, strict=True)
    ]


def _added(nests: Sequence[Any]) -> Any:
    """Nests of the same structure, added up leaf by leaf."""
    return tf.nest.map_structure(lambda *leaves: tf.add_n(leaves), *nests)


def _sum_over_replicas(values: Any) -> Any:
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def _move_average(ema: keras.Model, current: keras.Model, decay: tf.Tensor) -> None:
    """Weights and statistics of `ema` to decay * ema + (1 - decay) * current."""
    for old, new in zip(ema.variables, current.variables, strict=True):
        new_value = tf.convert_to_tensor(new.value)
        old.assign(new_value + decay * (tf.convert_to_tensor(old.value) - new_value))
