//! Rows that are picked out of a matrix, one here and one there.

use fearless_simd::{Simd, f32x16, prelude::*};

use crate::rows::{LANES, stride};
use crate::simd::{LaneRow, dispatch};

/// Rows that are copied side by side, piece by piece: each waits for memory of its own. With 128 rows
/// of 784 from 60,000 it took 33 us, row after row 40 us (Zen 5).
const AT_ONCE: usize = 8;
const PIECE: usize = 64;

/// Copies the rows of `from` that `order` names, one after the other, into padded rows.
///
/// # Shapes
/// `from` N x `columns`, without padding; `to` at least as many rows as `order`.
pub(super) fn gather_rows(from: &[f32], columns: usize, order: &[u32], to: &mut [f32]) {
    let stride = stride(columns);
    if columns <= LANES {
        return dispatch!(simd => narrow(simd, from, columns, order, to));
    }
    if columns <= PIECE {
        for (row, to) in order.iter().zip(to.chunks_exact_mut(stride)) {
            let start = *row as usize * columns;
            to[..columns].copy_from_slice(&from[start..start + columns]);
        }
        return;
    }
    let to = to.chunks_mut(stride * AT_ONCE);
    for (rows, to) in order.chunks(AT_ONCE).zip(to) {
        for start in (0..columns).step_by(PIECE) {
            let piece = start..(start + PIECE).min(columns);
            for (row, to) in rows.iter().zip(to.chunks_exact_mut(stride)) {
                let from = &from[*row as usize * columns..][..columns];
                to[piece.clone()].copy_from_slice(&from[piece.clone()]);
            }
        }
    }
}

/// Rows of one panel, which are copied as panels: what follows a row is read and not kept. For so few
/// bytes the call of a copy took longer than they do.
#[inline(always)]
fn narrow<S: Simd>(simd: S, from: &[f32], columns: usize, order: &[u32], to: &mut [f32]) {
    let row = LaneRow::new(simd, columns);
    for (index, to) in order.iter().zip(to.as_chunks_mut::<LANES>().0) {
        let from = &from[*index as usize * columns..];
        match from.first_chunk::<LANES>() {
            Some(from) => *to = row.keep(0, f32x16::load_array_ref(simd, from), 0.0).into(),
            None => to[..columns].copy_from_slice(&from[..columns]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_width_are_copied_and_padding_stays_zero() {
        for columns in [1, 4, 15, 16, 17, 33, 48, 63, 64, 65, 130] {
            let from: Vec<f32> = (1..=11 * columns).map(|i| i as f32).collect();
            let order = [10, 0, 3, 3, 9, 10, 1, 2, 5, 4];
            let mut to = vec![0.0; (order.len() + 1) * stride(columns)];
            let mut padded = to.clone();
            for (padded, row) in padded.chunks_exact_mut(stride(columns)).zip(order) {
                let row = &from[row as usize * columns..][..columns];
                padded[..columns].copy_from_slice(row);
            }
            gather_rows(&from, columns, &order[3..], &mut to);
            gather_rows(&from, columns, &order, &mut to);
            assert_eq!(to, padded, "{columns} columns");
        }
    }
}
