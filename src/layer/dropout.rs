//! Dropout: in training, each value is zeroed with probability `rate` and the others grow to match.

use crate::rng::{Purpose, Stream};
use crate::rows::{Rows, RowsMut};
use crate::{Error, Result};

/// Zeroes values at random in training and does nothing in use.
///
/// `y = x m`, where m is 0 with probability `rate` and else 1 / (1 - `rate`). The mask of a row is a
/// function of the seed, the layer, the epoch and the row's place in the epoch.
///
/// # Source
/// N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Dropout {
    /// Probability to zero a value, at least 0 and below 1.
    pub rate: f32,
}

/// Which row of which epoch stands first in a block, and which layer asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaskKey {
    pub seed: u64,
    pub layer: u64,
    pub epoch: u64,
    pub first_row: u64,
}

impl Dropout {
    pub(crate) fn check(&self) -> Result<()> {
        if (0.0..1.0).contains(&self.rate) {
            return Ok(());
        }
        Err(Error::shape("dropout rate", "at least 0 and below 1", self.rate))
    }

    /// Draws the mask of each row and applies it: `y = x m`.
    pub(crate) fn forward(&self, key: MaskKey, x: Rows, mut y: RowsMut, masks: &mut [f32]) {
        let kept = 1.0 / (1.0 - self.rate);
        let threshold = (f64::from(self.rate) * 4_294_967_296.0) as u64;
        for r in 0..x.rows {
            let row = key.first_row + r as u64;
            let mut random =
                Stream::new(key.seed, Purpose::Dropout, key.epoch << 16 | key.layer, row);
            let mask = &mut masks[r * x.stride..][..x.stride];
            for m in &mut mask[..x.cols] {
                *m = if u64::from(random.next_u32()) < threshold { 0.0 } else { kept };
            }
            mask[x.cols..].fill(0.0);
            let values = x.padded_row(r).iter().zip(mask.iter());
            for (y, (x, m)) in y.padded_row(r).iter_mut().zip(values) {
                *y = x * m;
            }
        }
    }
}

/// From `y = x m`: `dx = dy m`.
pub(crate) fn backward(masks: &[f32], dy: RowsMut) {
    for (dy, m) in dy.data.iter_mut().zip(masks) {
        *dy *= m;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: MaskKey = MaskKey { seed: 1, layer: 2, epoch: 3, first_row: 40 };

    #[test]
    fn keeps_the_expected_share_and_the_mean() {
        let (x, mut y, mut masks) =
            (vec![1.0; 160_000], vec![f32::NAN; 160_000], vec![0.0; 160_000]);
        let layer = Dropout { rate: 0.25 };
        layer.forward(KEY, Rows::of(&x, 10_000, 16), RowsMut::of(&mut y, 10_000, 16), &mut masks);
        let zeroed = y[..160_000].iter().filter(|&&v| v == 0.0).count() as f64;
        assert!((zeroed / 160_000.0 - 0.25).abs() < 0.01, "{zeroed}");
    }

    #[test]
    fn a_row_s_mask_does_not_depend_on_its_block() {
        let x = vec![1.0; 10 * 16];
        let run = |first_row, rows: usize| {
            let (mut y, mut masks) = (vec![0.0; rows * 16], vec![f32::NAN; rows * 16]);
            let key = MaskKey { first_row, ..KEY };
            let x = Rows::of(&x, rows, 7);
            Dropout { rate: 0.5 }.forward(key, x, RowsMut::of(&mut y, rows, 7), &mut masks);
            y
        };
        assert_eq!(run(40, 10)[3 * 16..], run(43, 7)[..]);
    }
}
