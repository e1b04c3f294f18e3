//! Layer normalisation over the features of a row.

use std::fmt;

use fearless_simd::{SimdBase, f32x16};

use crate::rows::{LANES, Rows, RowsMut, padded};
use crate::simd::{Fma, LaneRow, Registers, dispatch, load, sum16};
use crate::{Error, Result};

/// Normalises each row to mean 0 and variance 1, then scales and shifts each feature.
///
/// `y = w (x - mean) / sqrt(var + eps) + b`, with the biased variance.
///
/// # Source
/// J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", 2016.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct LayerNorm {
    /// Added to the variance.
    pub eps: f32,
}

/// That of PyTorch's `nn.LayerNorm`.
const EPS: f32 = 1e-5;

impl Default for LayerNorm {
    fn default() -> Self {
        Self { eps: EPS }
    }
}

/// A model's fingerprint is of this text, so that eps is in it and those of before there was a choice stay.
impl fmt::Display for LayerNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.eps {
            EPS => f.write_str("layer norm"),
            eps => write!(f, "layer norm, eps {eps:e}"),
        }
    }
}

impl LayerNorm {
    pub(crate) fn check(&self) -> Result<()> {
        if self.eps > 0.0 && self.eps.is_finite() {
            return Ok(());
        }
        Err(Error::shape("eps of a layer norm", "above 0 and finite", self.eps))
    }

    /// `y = w x̂ + b` with `x̂ = (x - mean) / sqrt(var + eps)`; keeps mean and 1/sqrt(var + eps).
    pub(crate) fn forward(&self, params: &[f32], x: Rows, mut y: RowsMut, kept: &mut [f32]) {
        let params = params.split_at(padded(x.cols));
        for (r, kept) in kept.as_chunks_mut::<2>().0[..x.rows].iter_mut().enumerate() {
            *kept = dispatch!(simd => {
                let kept = moments(simd, x, r, self.eps);
                scale(simd, (x, r), params, kept, &mut y);
                kept
            });
        }
    }
}

pub(crate) fn init(inputs: usize, params: &mut [f32]) {
    params.fill(0.0);
    params[..inputs].fill(1.0);
}

/// From `y = w x̂ + b`: with `g = w dy`, `dx = (g - mean(g) - x̂ mean(g x̂)) / sqrt(var + eps)`.
pub(crate) fn backward(params: &[f32], x: Rows, kept: &[f32], dy: Rows, mut dx: RowsMut) {
    for (r, &kept) in kept.as_chunks::<2>().0[..x.rows].iter().enumerate() {
        dispatch!(simd => backward_row(simd, (x, r), params, dy, kept, &mut dx));
    }
}

/// From `y = w x̂ + b`: adds `dy x̂` to dw and `dy` to db, row after row.
pub(crate) fn param_grads(x: Rows, kept: &[f32], dy: Rows, grads: &mut [f32]) {
    let (dw, db) = grads.as_chunks_mut::<LANES>().0.split_at_mut(x.panels());
    for (p, sums) in dw.iter_mut().zip(db).enumerate() {
        dispatch!(simd => param_grads_of(simd, (x, dy), p, kept, sums));
    }
}

/// Those of the features of panel `p`.
#[inline(always)]
fn param_grads_of<S: Registers>(
    simd: S,
    (x, dy): (Rows, Rows),
    p: usize,
    kept: &[f32],
    (dw, db): (&mut [f32; LANES], &mut [f32; LANES]),
) {
    let [mut w, mut b] = [&*dw, &*db].map(|sum| f32x16::load_array_ref(simd, sum));
    let rows = x.panel(p).iter().zip(dy.panel(p)).zip(kept.as_chunks::<2>().0);
    for ((x, dy), &[mean, inverse]) in rows {
        let xhat = (f32x16::load_array_ref(simd, x) - mean) * inverse;
        let dy = f32x16::load_array_ref(simd, dy);
        w = dy.fma(xhat, w);
        b += dy;
    }
    w.store_array(dw);
    b.store_array(db);
}

/// Mean and 1/sqrt(var + eps) of row `r`, in two passes: 16 lanes, then the fixed tree.
#[inline(always)]
fn moments<S: Registers>(simd: S, x: Rows, r: usize, eps: f32) -> [f32; 2] {
    let (row, n) = (LaneRow::new(simd, x.cols), x.cols as f32);
    let mut sum = f32x16::splat(simd, 0.0);
    for p in 0..row.panels {
        sum += row.keep(p, f32x16::load_array_ref(simd, x.lanes(r, p)), 0.0);
    }
    let mean = sum16(simd, sum) / n;
    let mut squares = f32x16::splat(simd, 0.0);
    for p in 0..row.panels {
        let d = row.keep(p, f32x16::load_array_ref(simd, x.lanes(r, p)) - mean, 0.0);
        squares = d.fma(d, squares);
    }
    [mean, 1.0 / (sum16(simd, squares) / n + eps).sqrt()]
}

#[inline(always)]
fn scale<S: Registers>(
    simd: S,
    (x, r): (Rows, usize),
    (w, b): (&[f32], &[f32]),
    [mean, inverse]: [f32; 2],
    y: &mut RowsMut,
) {
    for p in 0..x.panels() {
        let xhat = (f32x16::load_array_ref(simd, x.lanes(r, p)) - mean) * inverse;
        let (w, b) = (load(simd, w, p * LANES, 0.0), load(simd, b, p * LANES, 0.0));
        xhat.fma(w, b).store_array(y.lanes(r, p));
    }
}

/// The padding of w and dy is zero.
#[inline(always)]
fn backward_row<S: Registers>(
    simd: S,
    (x, r): (Rows, usize),
    w: &[f32],
    dy: Rows,
    [mean, inverse]: [f32; 2],
    dx: &mut RowsMut,
) {
    let (row, n) = (LaneRow::new(simd, x.cols), x.cols as f32);
    let at = |p: usize| {
        let g = load(simd, w, p * LANES, 0.0) * f32x16::load_array_ref(simd, dy.lanes(r, p));
        (g, (f32x16::load_array_ref(simd, x.lanes(r, p)) - mean) * inverse)
    };
    let mut sum = f32x16::splat(simd, 0.0);
    let mut product = sum;
    for p in 0..row.panels {
        let (g, xhat) = at(p);
        sum += g;
        product = g.fma(xhat, product);
    }
    let (mean_g, mean_gx) = (sum16(simd, sum) / n, sum16(simd, product) / n);
    for p in 0..row.panels {
        let (g, xhat) = at(p);
        let values = (g - mean_g - xhat * mean_gx) * inverse;
        row.keep(p, values, 0.0).store_array(dx.lanes(r, p));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::rows_len;
    use crate::simd::reference;
    use crate::simd::testing::assert_same_bits;

    /// The loss `sum(y c)` in f64, by the definition.
    fn loss(x: &[f64], w: &[f64], b: &[f64], c: &[f64]) -> f64 {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        (0..x.len()).map(|i| (w[i] * (x[i] - mean) / (var + 1e-5).sqrt() + b[i]) * c[i]).sum()
    }

    #[test]
    fn agrees_with_finite_differences_on_odd_widths() {
        for cols in [1, 3, 16, 17, 40] {
            let wide = |seed| reference::matrix(1, cols, seed).into_iter().map(f64::from);
            let [x, w, b, c] = [1, 2, 3, 4].map(|seed| wide(seed).collect::<Vec<f64>>());
            let narrow = |v: &[f64], len| {
                let mut v: Vec<f32> = v.iter().map(|&v| v as f32).collect();
                v.resize(len, 0.0);
                v
            };
            let mut params = narrow(&w, padded(cols));
            params.extend(narrow(&b, padded(cols)));
            let xs = reference::in_panels(&narrow(&x, cols), cols, 5.0);
            let dys = reference::in_panels(&narrow(&c, cols), cols, 0.0);
            let (xs, dys) = (Rows::of(&xs, 1, cols), Rows::of(&dys, 1, cols));
            let mut y = vec![f32::NAN; rows_len(1, cols)];
            let mut dx = vec![f32::NAN; rows_len(1, cols)];
            let mut kept = [f32::NAN; 2];
            let mut grads = vec![0.0; params.len()];
            LayerNorm::default().forward(&params, xs, RowsMut::of(&mut y, 1, cols), &mut kept);
            backward(&params, xs, &kept, dys, RowsMut::of(&mut dx, 1, cols));
            param_grads(xs, &kept, dys, &mut grads);
            let [y, dx] = [&y, &dx].map(|v| Rows::of(v, 1, cols));
            assert!(reference::padding(y).iter().all(|v| v.is_finite()));
            assert!(reference::padding(dx).iter().all(|&v| v == 0.0));
            let (y, dx) = (y.to_vec(), dx.to_vec());
            let found: f64 = (0..cols).map(|i| f64::from(y[i]) * c[i]).sum();
            assert!((found - loss(&x, &w, &b, &c)).abs() < 1e-4, "{cols}");
            let slope = |v: &[f64], i: usize, f: &dyn Fn(&[f64]) -> f64| {
                let (mut up, mut down) = (v.to_vec(), v.to_vec());
                up[i] += 1e-5;
                down[i] -= 1e-5;
                (f(&up) - f(&down)) / 2e-5
            };
            for i in 0..cols {
                let by_x = slope(&x, i, &|x| loss(x, &w, &b, &c));
                let by_w = slope(&w, i, &|w| loss(&x, w, &b, &c));
                let by_b = slope(&b, i, &|b| loss(&x, &w, b, &c));
                assert!((f64::from(dx[i]) - by_x).abs() < 2e-4, "dx {} {by_x}", dx[i]);
                assert!((f64::from(grads[i]) - by_w).abs() < 2e-4, "dw");
                assert!((f64::from(grads[padded(cols) + i]) - by_b).abs() < 2e-4, "db");
            }
        }
    }
    #[test]
    fn gradients_of_parameters_are_chains_of_fused_multiply_adds() {
        let (rows, cols) = (37, 19);
        let [x, dy] = [5, 6].map(|seed| reference::matrix(rows, cols, seed));
        let kept: Vec<f32> = (0..rows).flat_map(|r| [0.01 * r as f32, 1.3]).collect();
        let [xs, dys] = [&x, &dy].map(|values| reference::in_panels(values, cols, 0.0));
        let [xs, dys] = [&xs, &dys].map(|values| Rows::of(values, rows, cols));
        let mut want = vec![0.0f32; 2 * padded(cols)];
        for (r, &[mean, inverse]) in kept.as_chunks::<2>().0.iter().enumerate() {
            for c in 0..cols {
                let (x, dy) = (x[r * cols + c], dy[r * cols + c]);
                want[c] = dy.mul_add((x - mean) * inverse, want[c]);
                want[padded(cols) + c] += dy;
            }
        }
        let mut found = vec![0.0; want.len()];
        param_grads(xs, &kept, dys, &mut found);
        assert_same_bits(&found[..cols], &want[..cols], "dw");
        assert_same_bits(&found[padded(cols)..][..cols], &want[padded(cols)..][..cols], "db");
    }
}
