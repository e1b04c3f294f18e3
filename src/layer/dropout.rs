//! Dropout: in training, each value is zeroed with probability `rate` and the others grow to match.

use crate::rng::{Purpose, Stream};
use crate::rows::{LANES, Rows, RowsMut};
use crate::{Error, Result};

/// Zeroes values at random in training and does nothing in use.
///
/// `y = x m`, where m is 0 with probability `rate` and else 1 / (1 - `rate`). The mask of a row is a
/// function of the seed, the layer, the epoch and the row's place in the epoch.
///
/// # Source
/// N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Dropout {
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
    pub(crate) fn forward(&self, key: MaskKey, x: Rows, mut y: RowsMut, mut masks: RowsMut) {
        let kept = 1.0 / (1.0 - self.rate);
        let threshold = (f64::from(self.rate) * 4_294_967_296.0) as u64;
        for r in 0..x.rows {
            let row = key.first_row + r as u64;
            let mut random =
                Stream::new(key.seed, Purpose::Dropout, key.epoch << 16 | key.layer, row);
            for p in 0..x.panels() {
                let mask = masks.lanes(r, p);
                *mask = [0.0; LANES];
                for m in mask.iter_mut().take(x.cols - p * LANES) {
                    *m = if u64::from(random.next_u32()) < threshold { 0.0 } else { kept };
                }
                for (y, (x, m)) in y.lanes(r, p).iter_mut().zip(x.lanes(r, p).iter().zip(&*mask)) {
                    *y = x * m;
                }
            }
        }
    }
}

/// From `y = x m`: `dx = dy m`.
pub(crate) fn backward(masks: Rows, mut dy: RowsMut) {
    for p in 0..dy.panels() {
        let masks = masks.panel(p).as_flattened();
        for (dy, m) in dy.panel(p).as_flattened_mut().iter_mut().zip(masks) {
            *dy *= m;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::rows_len;

    const KEY: MaskKey = MaskKey { seed: 1, layer: 2, epoch: 3, first_row: 40 };

    fn run(layer: Dropout, key: MaskKey, rows: usize, cols: usize) -> Vec<f32> {
        let x = vec![1.0; rows_len(rows, cols)];
        let (mut y, mut masks) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
        let masks = RowsMut::of(&mut masks, rows, cols);
        layer.forward(key, Rows::of(&x, rows, cols), RowsMut::of(&mut y, rows, cols), masks);
        Rows::of(&y, rows, cols).to_vec()
    }

    #[test]
    fn keeps_the_expected_share_and_the_mean() {
        let y = run(Dropout { rate: 0.25 }, KEY, 10_000, 16);
        let zeroed = y.iter().filter(|&&v| v == 0.0).count() as f64;
        assert!((zeroed / 160_000.0 - 0.25).abs() < 0.01, "{zeroed}");
        let mean = y.iter().map(|&v| f64::from(v)).sum::<f64>() / 160_000.0;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }

    #[test]
    fn a_row_s_mask_does_not_depend_on_its_block() {
        for cols in [7, 16, 40] {
            let run = |first_row, rows| {
                run(Dropout { rate: 0.5 }, MaskKey { first_row, ..KEY }, rows, cols)
            };
            assert_eq!(run(40, 10)[3 * cols..], run(43, 7)[..]);
        }
    }
}
