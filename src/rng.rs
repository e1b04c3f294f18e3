//! Random streams keyed by (seed, purpose, epoch, row): who draws, and in which order, changes nothing.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// What a stream is for; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Init = 1,
    Shuffle = 2,
    Split = 3,
    Dropout = 4,
    Synthetic = 5,
    Window = 6,
}

/// A ChaCha8 stream. The same key gives the same numbers on every machine.
///
/// # Source
/// D. J. Bernstein, "ChaCha, a variant of Salsa20", 2008; eight rounds.
#[derive(Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// Opens the stream of a purpose; `epoch` and `row` are 0 where they mean nothing.
    pub(crate) fn new(seed: u64, purpose: Purpose, epoch: u64, row: u64) -> Self {
        let mut key = [0u8; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, epoch, row]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Draws 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Draws 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws uniformly from `0..1`, on a grid of 2^-24.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Draws uniformly from `low..high`.
    pub fn uniform_in(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Draws an integer uniformly from `0..n`, without bias.
    ///
    /// # Panics
    /// If `n` is 0.
    ///
    /// # Source
    /// D. Lemire, "Fast random integer generation in an interval", 2019.
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "below(0) has no number to draw");
        let mut product = u64::from(self.next_u32()) * u64::from(n);
        if (product as u32) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u32) < threshold {
                product = u64::from(self.next_u32()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    /// Draws from the normal distribution with mean 0 and variance 1.
    ///
    /// # Source
    /// G. Marsaglia and T. A. Bray, "A convenient method for generating normal variables", 1964.
    pub fn normal(&mut self) -> f32 {
        loop {
            let u = f64::from(self.uniform_in(-1.0, 1.0));
            let v = f64::from(self.uniform_in(-1.0, 1.0));
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                return (u * (-2.0 * ln(s) / s).sqrt()) as f32;
            }
        }
    }

    /// Puts a slice into random order.
    ///
    /// # Panics
    /// If the slice has 2^32 elements or more.
    ///
    /// # Source
    /// R. Durstenfeld, "Algorithm 235: random permutation", 1964.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        let len = u32::try_from(items.len()).expect("fewer than 2^32 items to shuffle");
        for i in (1..len).rev() {
            let j = self.below(i + 1);
            items.swap(i as usize, j as usize);
        }
    }
}

/// Natural logarithm of a positive normal number, of IEEE operations alone: `x = m 2^e` with m in
/// [sqrt(1/2), sqrt(2)), and `ln m = 2 atanh((m - 1) / (m + 1))` by its series.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let mut series = 0.0;
    for k in (0..14).rev() {
        series = series * t2 + 1.0 / f64::from(2 * k + 1);
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_alone_decides_the_numbers() {
        let draw = |purpose, epoch, row| Stream::new(7, purpose, epoch, row).next_u64();
        assert_eq!(draw(Purpose::Shuffle, 3, 5), draw(Purpose::Shuffle, 3, 5));
        assert_ne!(draw(Purpose::Shuffle, 3, 5), draw(Purpose::Dropout, 3, 5));
        assert_ne!(draw(Purpose::Shuffle, 3, 5), draw(Purpose::Shuffle, 4, 5));
        assert_ne!(draw(Purpose::Shuffle, 3, 5), draw(Purpose::Shuffle, 3, 6));
    }

    /// The numbers are those of another implementation, `rand_chacha` 0.10.
    #[test]
    fn the_numbers_are_those_of_chacha8() {
        let mut stream = Stream::new(7, Purpose::Dropout, 3, 11);
        let first: [u32; 3] = std::array::from_fn(|_| stream.next_u32());
        assert_eq!(first, [314_768_446, 2_019_321_820, 2_133_173_105]);
        assert_eq!(stream.next_u64(), 14_454_316_925_438_824_668);
        for _ in 0..300 {
            stream.next_u32();
        }
        assert_eq!(stream.next_u32(), 940_818_538);
    }

    #[test]
    fn ln_agrees_with_the_platform_to_1e15() {
        for i in 1..10_000 {
            let x = f64::from(i) / 10_000.0;
            assert!((ln(x) - x.ln()).abs() <= 1e-15 * x.ln().abs().max(1.0), "{x}");
        }
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut stream = Stream::new(1, Purpose::Init, 0, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(stream.normal())).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn shuffle_is_a_permutation_that_reaches_every_order() {
        let mut seen = std::collections::HashSet::new();
        let mut stream = Stream::new(2, Purpose::Shuffle, 0, 0);
        for _ in 0..1_000 {
            let mut items = [0, 1, 2, 3];
            stream.shuffle(&mut items);
            let mut sorted = items;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            seen.insert(items);
        }
        assert_eq!(seen.len(), 24);
    }
}
