//! Rows that are picked out of a matrix, one here and one there.

use fearless_simd::{Simd, f32x16, prelude::*};

use crate::rows::{LANES, RowsMut};
use crate::simd::{LaneRow, dispatch};

/// Rows that are copied side by side, some panels at a time: each waits for memory of its own. With 128 rows
/// of 784 from 60,000 it took 33 us, row after row 40 us (Zen 5).
const AT_ONCE: usize = 8;
const PANELS: usize = 4;

/// Copies row `row(r)` of `from` to row r of `to`, for each of them.
///
/// # Shapes
/// `from` N x the columns of `to`, one row after the other.
pub(super) fn copy_rows(from: &[f32], row: impl Fn(usize) -> usize, to: &mut RowsMut) {
    dispatch!(simd => copy(simd, from, &row, to));
}

#[inline(always)]
fn copy<S: Simd>(simd: S, from: &[f32], row: &impl Fn(usize) -> usize, to: &mut RowsMut) {
    let lanes = LaneRow::new(simd, to.cols);
    for first in (0..to.rows).step_by(AT_ONCE) {
        let rows = first..(first + AT_ONCE).min(to.rows);
        for first in (0..lanes.panels).step_by(PANELS) {
            let panels = first..(first + PANELS).min(lanes.panels);
            for r in rows.clone() {
                let from = &from[row(r) * to.cols..];
                for p in panels.clone() {
                    let left = to.cols - p * LANES;
                    *to.lanes(r, p) = match from[p * LANES..].first_chunk() {
                        // What follows the row is read and not kept. For so few bytes the call of a copy
                        // takes longer than they do.
                        Some(whole) => {
                            lanes.keep(p, f32x16::load_array_ref(simd, whole), 0.0).into()
                        }
                        None => {
                            let mut part = [0.0; LANES];
                            part[..left].copy_from_slice(&from[p * LANES..][..left]);
                            part
                        }
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Rows, rows_len};
    use crate::simd::reference::padding;

    #[test]
    fn rows_of_any_width_are_copied_and_padding_is_zeroed() {
        for columns in [1, 4, 15, 16, 17, 33, 48, 63, 64, 65, 130] {
            let from: Vec<f32> = (1..=11 * columns).map(|i| i as f32).collect();
            for order in [&[10, 0, 3, 3, 9, 10, 1, 2, 5, 4][..], &[9, 10]] {
                let rows = order.iter().flat_map(|&row| &from[row * columns..][..columns]);
                let rows: Vec<f32> = rows.copied().collect();
                let mut to = vec![f32::NAN; rows_len(order.len() + 1, columns)];
                copy_rows(&from, |r| order[r], &mut RowsMut::of(&mut to, order.len(), columns));
                let to = Rows::of(&to, order.len(), columns);
                assert_eq!(to.to_vec(), rows, "{columns} columns");
                assert!(padding(to).iter().all(|&v| v == 0.0), "{columns} columns");
            }
        }
    }
}
