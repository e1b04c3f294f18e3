//! A prepared step: scalars computed once, then applied to chunk after chunk on any thread.

use fearless_simd::Level;

use super::adagrad::AdagradStep;
use super::adam::{AdamStep, Decaying};
use super::clip::GradScale;
use super::rmsprop::{RmsPropStep, Variant};
use super::sgd::SgdStep;
use super::sweep::{clear_subnormals, sweep};
use crate::simd::level::active;

/// What one optimizer step does to every parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(super) kind: Kind,
    pub(super) grad: GradScale,
    /// Whether subnormal numbers in the slots are cleared after it.
    pub(super) clears: bool,
}

/// Steps from one that clears subnormal numbers to the next: in the update itself that took an eighth of an
/// Adam's time, and a mean that decays to one slows a few steps down.
pub(super) const CLEARING: u64 = 16;

/// The rule, with its scalars in f32.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Sgd(SgdStep),
    RmsProp(RmsPropStep),
    Adagrad(AdagradStep),
    Adam(AdamStep),
}

impl Step {
    /// Updates a chunk of the parameters and of the slots in use. All lengths are equal multiples
    /// of 16; slots that are not in use may be empty. A parameter of zero with
    /// zero state and a zero gradient, as padding is, stays zero.
    ///
    /// # Panics
    /// If a slot in use or the gradient is shorter than the parameters.
    pub fn update(&self, params: &mut [f32], grads: &[f32], slots: [&mut [f32]; 3]) {
        self.update_at(active().1, params, grads, slots);
    }

    fn update_at(
        &self,
        level: Level,
        params: &mut [f32],
        grads: &[f32],
        mut slots: [&mut [f32]; 3],
    ) {
        let Self { kind, grad, clears } = *self;
        let [a, b, c] = slots.each_mut().map(|slot| &mut **slot);
        match kind {
            Kind::Sgd(step) if step.momentum == 0.0 => sweep(level, step, grad, params, grads, []),
            Kind::Sgd(step) => sweep(level, step, grad, params, grads, [a]),
            Kind::RmsProp(step) => match (step.momentum != 0.0, step.centered) {
                (false, false) => {
                    sweep(level, Variant::<false, false>(step), grad, params, grads, [a])
                }
                (true, false) => {
                    sweep(level, Variant::<true, false>(step), grad, params, grads, [a, b])
                }
                (false, true) => {
                    sweep(level, Variant::<false, true>(step), grad, params, grads, [a, b])
                }
                (true, true) => {
                    sweep(level, Variant::<true, true>(step), grad, params, grads, [a, b, c])
                }
            },
            Kind::Adagrad(step) => sweep(level, step, grad, params, grads, [a]),
            Kind::Adam(step) if step.decays() => {
                sweep(level, Decaying::<true>(step), grad, params, grads, [a, b])
            }
            Kind::Adam(step) => sweep(level, Decaying::<false>(step), grad, params, grads, [a, b]),
        }
        if clears {
            slots.into_iter().for_each(|slot| clear_subnormals(level, slot));
        }
    }
}

/// `base^n` by squaring: multiplications alone, for `powi` and `powf` round as the platform likes.
pub(super) fn power(base: f64, n: u64) -> f64 {
    powers([base], n)[0]
}

/// The power of each base, side by side, for each multiplication waits for the one before. Bits that
/// are not set multiply by one, taken from a table, since branches cannot be foretold: with them small
/// nets spent a twelfth of a step here.
pub(super) fn powers<const N: usize>(mut bases: [f64; N], mut n: u64) -> [f64; N] {
    let mut results = [1.0; N];
    while n > 0 {
        let factors = [[1.0; N], bases][(n & 1) as usize];
        for ((result, factor), base) in results.iter_mut().zip(factors).zip(&mut bases) {
            *result *= factor;
            *base *= *base;
        }
        n >>= 1;
    }
    results
}

#[cfg(test)]
mod tests {
    use super::super::reference::Reference;
    use super::super::{Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd};
    use super::*;
    use crate::rng::{Purpose, Stream};
    use crate::simd::testing::levels;

    const LENGTHS: [usize; 4] = [16, 48, 80, 208];

    /// Every optimizer with every combination of its options.
    fn all() -> Vec<Optimizer> {
        let mut all: Vec<Optimizer> = Vec::new();
        for decay in [0.0, 0.05] {
            all.push(Sgd::new(0.1).weight_decay(decay).into());
            for (dampening, nesterov) in [(0.0, false), (0.3, false), (0.0, true)] {
                let sgd = Sgd::new(0.1).momentum(0.9).dampening(dampening).nesterov(nesterov);
                all.push(sgd.weight_decay(decay).into());
            }
            for (momentum, centered) in [(0.0, false), (0.9, false), (0.0, true), (0.9, true)] {
                let rmsprop = RmsProp::default().momentum(momentum).centered(centered);
                all.push(rmsprop.alpha(0.9).weight_decay(decay).into());
            }
            for (lr_decay, initial) in [(0.0, 0.0), (0.1, 0.0), (0.0, 0.5), (0.1, 0.5)] {
                let adagrad = Adagrad::default().lr_decay(lr_decay);
                all.push(adagrad.initial_accumulator_value(initial).weight_decay(decay).into());
            }
            all.push(Adam::new(0.01).weight_decay(decay).into());
            all.push(Adam::new(0.01).beta1(0.5).beta2(0.9).weight_decay(decay).into());
            all.push(AdamW::new(0.01).weight_decay(decay).into());
        }
        all
    }

    fn scales() -> [GradScale; 4] {
        [(1.0, None), (0.25, None), (1.0, Some(0.5)), (0.5, Some(0.3))]
            .map(|(scale, clip)| GradScale { scale, clip })
    }

    /// Parameters, slots in use, and dirt in the slots that are not.
    struct Run {
        params: Vec<f32>,
        slots: [Vec<f32>; 3],
    }

    impl Run {
        fn start(optimizer: &Optimizer, len: usize) -> Self {
            let mut stream = Stream::new(5, Purpose::Synthetic, 0, len as u64);
            let params = (0..len).map(|_| stream.normal()).collect();
            let slots = [0, 1, 2].map(|slot| {
                let used = slot < optimizer.slots();
                vec![if used { optimizer.initial(slot) } else { f32::NAN }; len]
            });
            Self { params, slots }
        }

        fn step(&mut self, level: Level, step: &Step, grads: &[f32]) {
            let [a, b, c] = &mut self.slots;
            step.update_at(level, &mut self.params, grads, [a, b, c]);
        }
    }

    fn gradient(step: u64, len: usize) -> Vec<f32> {
        let mut stream = Stream::new(6, Purpose::Synthetic, step, len as u64);
        (0..len).map(|_| stream.normal()).collect()
    }

    #[test]
    fn twenty_steps_agree_with_the_definition_in_f64() {
        for optimizer in all() {
            for grad in scales() {
                for len in LENGTHS {
                    let mut run = Run::start(&optimizer, len);
                    let mut naive = Reference::start(&optimizer, &run.params);
                    for step in 1..=20 {
                        let lr = optimizer.lr() * if step > 10 { 0.5 } else { 1.0 };
                        let grads = gradient(step, len);
                        run.step(Level::new(), &optimizer.prepare(step, lr, grad), &grads);
                        naive.step(step, lr, grad, &grads);
                    }
                    for (i, (p, q)) in run.params.iter().zip(&naive.params).enumerate() {
                        let error = (f64::from(*p) - q).abs();
                        assert!(
                            error < 4e-6 * (1.0 + q.abs()),
                            "{optimizer} {grad:?} {i}: {p} {q}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        for optimizer in all() {
            for grad in scales() {
                let runs = levels().into_iter().map(|level| {
                    let mut run = Run::start(&optimizer, 80);
                    for step in 1..=5 {
                        let prepared = optimizer.prepare(step, optimizer.lr(), grad);
                        run.step(level, &prepared, &gradient(step, 80));
                    }
                    let bits =
                        |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    (bits(&run.params), run.slots.map(|slot| bits(&slot)))
                });
                let runs: Vec<_> = runs.collect();
                assert!(runs.iter().all(|run| *run == runs[0]), "{optimizer}");
            }
        }
    }

    #[test]
    fn chunks_change_no_bit() {
        for optimizer in all() {
            let step = optimizer.prepare(3, optimizer.lr(), GradScale::NONE);
            let grads = gradient(3, 208);
            let (mut whole, mut cut) = (Run::start(&optimizer, 208), Run::start(&optimizer, 208));
            whole.step(Level::new(), &step, &grads);
            let [a, b, c] = &mut cut.slots;
            for (i, params) in cut.params.chunks_mut(48).enumerate() {
                let range = i * 48..i * 48 + params.len();
                let slots = [&mut a[range.clone()], &mut b[range.clone()], &mut c[range.clone()]];
                step.update(params, &grads[range], slots);
            }
            assert_eq!(whole.params, cut.params);
        }
    }

    #[test]
    fn slots_out_of_use_may_be_empty() {
        for optimizer in all() {
            let mut run = Run::start(&optimizer, 48);
            let mut bare = Run::start(&optimizer, 48);
            bare.slots[optimizer.slots()..].iter_mut().for_each(Vec::clear);
            let step = optimizer.prepare(1, optimizer.lr(), GradScale::NONE);
            run.step(Level::new(), &step, &gradient(1, 48));
            bare.step(Level::new(), &step, &gradient(1, 48));
            assert_eq!(run.params, bare.params);
            assert!(run.slots[optimizer.slots()..].iter().flatten().all(|v| v.is_nan()));
        }
    }

    #[test]
    fn padding_stays_zero_to_the_bit() {
        for optimizer in all() {
            for grad in scales() {
                for level in levels() {
                    let mut run = Run::start(&optimizer, 32);
                    run.params[16..].fill(0.0);
                    for step in 1..=20 {
                        let mut grads = gradient(step, 32);
                        grads[16..].fill(0.0);
                        run.step(level, &optimizer.prepare(step, 1.0, grad), &grads);
                    }
                    assert!(run.params[16..].iter().all(|p| p.to_bits() == 0), "{optimizer}");
                    assert!(run.params[..16].iter().all(|p| p.is_finite()), "{optimizer}");
                }
            }
        }
    }

    #[test]
    fn means_decay_to_zero_and_not_to_subnormal_numbers() {
        for optimizer in all() {
            for level in levels() {
                let mut run = Run::start(&optimizer, 16);
                for step in 1..=2000 {
                    let grads = if step < 4 { gradient(step, 16) } else { vec![0.0; 16] };
                    run.step(level, &optimizer.prepare(step, 0.0, GradScale::NONE), &grads);
                }
                let slots = run.slots[..optimizer.slots()].iter().flatten();
                assert!(slots.clone().all(|value| !value.is_subnormal()), "{optimizer}");
            }
        }
    }

    #[test]
    fn subnormal_numbers_are_cleared_every_sixteenth_step() {
        let optimizer = Optimizer::from(Adam::default());
        let subnormal = f32::MIN_POSITIVE / 8.0;
        for step in 1..=33 {
            let mut run = Run::start(&optimizer, 16);
            run.slots[..2].iter_mut().for_each(|slot| slot.fill(subnormal));
            run.step(Level::new(), &optimizer.prepare(step, 0.0, GradScale::NONE), &[0.0; 16]);
            let cleared = run.slots[..2].iter().flatten().all(|&value| value == 0.0);
            assert_eq!(cleared, step % 16 == 0, "step {step}");
        }
    }

    #[test]
    fn clipping_follows_scaling() {
        let step = Optimizer::from(Sgd::new(1.0)).prepare(
            1,
            1.0,
            GradScale { scale: 0.5, clip: Some(1.0) },
        );
        let mut params = [0.0; 16];
        let mut grads = [0.0; 16];
        (grads[0], grads[1], grads[2]) = (1.5, 3.0, -3.0);
        step.update(&mut params, &grads, [&mut [], &mut [], &mut []]);
        assert_eq!(params[..3], [-0.75, -1.0, 1.0]);
    }

    #[test]
    fn powers_are_those_of_repeated_multiplication() {
        assert_eq!(power(0.9, 0), 1.0);
        assert_eq!(power(2.0, 11), 2048.0);
        assert!((power(0.999, 12_345) / 0.999_f64.powi(12_345) - 1.0).abs() < 1e-11);
        assert_eq!(power(0.5, u64::MAX), 0.0);
    }
}
