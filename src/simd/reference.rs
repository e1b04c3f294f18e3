//! The naive f64 reference that every kernel is tested against.

use crate::rng::{Purpose, Stream};
use crate::rows::stride;

/// Random values in -1..1, row after row.
pub(crate) fn matrix(rows: usize, cols: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Synthetic, rows as u64, cols as u64);
    (0..rows * cols).map(|_| stream.uniform_in(-1.0, 1.0)).collect()
}

/// The same in padded rows, with garbage in the padding.
pub(crate) fn padded_matrix(rows: usize, cols: usize, seed: u64) -> Vec<f32> {
    let mut data = vec![f32::NAN; rows * stride(cols)];
    for (row, values) in
        data.chunks_exact_mut(stride(cols)).zip(matrix(rows, cols, seed).chunks(cols))
    {
        row[..cols].copy_from_slice(values);
    }
    data
}

/// A dot product in f64, with the sum of the terms' sizes as the scale of its error.
pub(crate) fn dot(
    n: usize,
    a: impl Fn(usize) -> f32,
    b: impl Fn(usize) -> f32,
    start: f32,
) -> (f64, f64) {
    (0..n).fold((f64::from(start), f64::from(start.abs())), |(sum, scale), k| {
        let term = f64::from(a(k)) * f64::from(b(k));
        (sum + term, scale + term.abs())
    })
}

/// Demands agreement to what a chain of f32 roundings may lose.
#[track_caller]
pub(crate) fn assert_close(found: f32, (exact, scale): (f64, f64), what: &str) {
    let error = (f64::from(found) - exact).abs();
    assert!(error <= scale * 2e-6 + 1e-30, "{what}: {found} is not {exact}, off by {error}");
}
