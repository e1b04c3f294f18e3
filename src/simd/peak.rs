//! What a core's multiply-adds take without memory: its arithmetic peak.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fearless_simd::{Level, SimdBase, f32x16};

use super::level::level_of;
use super::{Fma, Registers, SimdLevel, dispatch, dispatch_at};
use crate::rows::LANES;

/// Rounds of multiply-adds in a reading of [`is_double_pumped`], and readings of each width: one may be interrupted,
/// and some processors start with 512-bit vectors slowly. All of them took 62 us, and the answer was the same in 600
/// processes one after the other, beside a program that kept both cores busy (Zen 4).
const ROUNDS: usize = 200;
const READINGS: usize = 16;

/// Runs fused multiply-adds on registers alone and returns how many floating-point operations they
/// were: what divides by the time to give the core's arithmetic peak at the current level.
pub fn fma_peak(rounds: usize) -> f64 {
    dispatch!(simd => operations(simd, rounds))
}

/// Whether 512-bit multiply-adds take as long as two of 256 bits (Zen 4). One a cycle leaves time to load an
/// operand for each of them, which two a cycle do not. The first call measures it.
pub fn is_double_pumped() -> bool {
    static MEASURED: OnceLock<bool> = OnceLock::new();
    *MEASURED.get_or_init(|| {
        let levels = [SimdLevel::Avx512, SimdLevel::Avx2].map(level_of);
        let [Some(wide), Some(narrow)] = levels else { return false };
        let mut shortest = [Duration::MAX; 2];
        for _ in 0..READINGS {
            for (shortest, level) in shortest.iter_mut().zip([wide, narrow]) {
                *shortest = reading(level).min(*shortest);
            }
        }
        2 * shortest[0] > 3 * shortest[1]
    })
}

/// How long multiply-adds on as many registers take at a level.
fn reading(level: Level) -> Duration {
    let start = Instant::now();
    black_box(dispatch_at!(level, simd => operations(simd, ROUNDS)));
    start.elapsed()
}

/// As many chains as hide the latency and stay in registers: 12 of 16 lanes, or 6 of twice 8.
#[inline(always)]
fn operations<S: Registers>(simd: S, rounds: usize) -> f64 {
    if S::WIDE { chains::<_, 12>(simd, rounds) } else { chains::<_, 6>(simd, rounds) }
}

#[inline(always)]
fn chains<S: Registers, const CHAINS: usize>(simd: S, rounds: usize) -> f64 {
    let start: [[f32; LANES]; CHAINS] =
        black_box(std::array::from_fn(|c| std::array::from_fn(|lane| (c * LANES + lane) as f32)));
    let mut acc = start.map(|start| f32x16::load_array(simd, start));
    let factor = f32x16::splat(simd, black_box(0.999));
    let term = f32x16::splat(simd, black_box(0.001));
    for _ in 0..rounds {
        for acc in &mut acc {
            *acc = acc.fma(factor, term);
        }
    }
    let mut out = [0.0; LANES];
    for acc in acc {
        acc.store_array(&mut out);
        black_box(&mut out);
    }
    rounds as f64 * (CHAINS * LANES * 2) as f64
}
