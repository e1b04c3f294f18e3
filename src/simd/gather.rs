//! Rows of a matrix without padding on their way into panels, picked out one here and one there.

use fearless_simd::{f32x16, prelude::*};

use crate::rows::{LANES, RowsMut};
use crate::simd::{LaneRow, Registers, dispatch};

/// Rows that are copied side by side, panel by panel: each waits for memory of its own.
const AT_ONCE: usize = 8;

/// Copies row `row(r)` of `from` to row r of `to`, for each of them.
///
/// # Shapes
/// `from` N x the columns of `to`, one row after the other.
pub(crate) fn copy_rows(from: &[f32], row: impl Fn(usize) -> usize, to: &mut RowsMut) {
    copy_rest(from, row, to, 0);
}

/// The same where the whole panels of the first `copied` rows stand there already.
pub(crate) fn copy_rest(
    from: &[f32],
    row: impl Fn(usize) -> usize,
    to: &mut RowsMut,
    copied: usize,
) {
    dispatch!(simd => copy(simd, from, &row, to, copied));
}

#[inline(always)]
fn copy<S: Registers>(
    simd: S,
    from: &[f32],
    row: &impl Fn(usize) -> usize,
    to: &mut RowsMut,
    copied: usize,
) {
    let (lanes, cols) = (LaneRow::new(simd, to.cols), to.cols);
    let (whole, rest) = (cols / LANES, cols % LANES);
    for first in (0..to.rows).step_by(AT_ONCE) {
        let rows = first..(first + AT_ONCE).min(to.rows);
        let missing = rows.start.max(copied)..rows.end;
        if whole > 0 && !missing.is_empty() {
            let rows = missing;
            let mut panels = [&[][..]; AT_ONCE];
            for (r, panels) in rows.clone().zip(&mut panels) {
                *panels = &from[row(r) * cols..].as_chunks::<LANES>().0[..whole];
            }
            for p in 0..whole {
                for (to, from) in to.panel(p)[rows.clone()].iter_mut().zip(&panels) {
                    *to = from[p];
                }
            }
        }
        if rest > 0 {
            for (r, to) in rows.clone().zip(&mut to.panel(whole)[rows]) {
                let from = &from[row(r) * cols + whole * LANES..];
                *to = match from.first_chunk() {
                    // What follows the row is read and not kept. For so few bytes the call of a copy takes
                    // longer than they do.
                    Some(from) => lanes.keep(whole, f32x16::load_array_ref(simd, from), 0.0).into(),
                    None => {
                        let mut part = [0.0; LANES];
                        part[..rest].copy_from_slice(&from[..rest]);
                        part
                    }
                };
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
