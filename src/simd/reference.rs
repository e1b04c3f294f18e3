//! The naive f64 reference that every kernel is tested against.

use crate::rng::{Purpose, Stream};
use crate::rows::{LANES, Rows, RowsMut, rows_len};

/// Random values in -1..1, row after row.
pub(crate) fn matrix(rows: usize, cols: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Synthetic, rows as u64, cols as u64);
    (0..rows * cols).map(|_| stream.uniform_in(-1.0, 1.0)).collect()
}

/// The same in panels, with garbage around the values.
pub(crate) fn panels(rows: usize, cols: usize, seed: u64) -> Vec<f32> {
    in_panels(&matrix(rows, cols, seed), cols, f32::NAN)
}

/// Rows that lie one after the other, in panels, with `around` around them.
pub(crate) fn in_panels(values: &[f32], cols: usize, around: f32) -> Vec<f32> {
    let rows = values.len() / cols;
    let mut data = vec![around; rows_len(rows, cols)];
    let mut to = RowsMut::of(&mut data, rows, cols);
    for (i, value) in values.iter().enumerate() {
        to.lanes(i / cols, i % cols / LANES)[i % cols % LANES] = *value;
    }
    data
}

/// The padding of rows.
pub(crate) fn padding(rows: Rows) -> Vec<f32> {
    let last = rows.panel(rows.panels() - 1);
    last.iter().flat_map(|row| &row[rows.cols - (rows.panels() - 1) * LANES..]).copied().collect()
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
