//! The product of rows with panels: the forward pass and the input gradient.

use std::ops::Range;

use fearless_simd::{Simd, SimdBase, f32x16};

use super::panels::Operand;
use crate::rows::{LANES, Rows, RowsMut};
use crate::simd::Fma;

/// What a chain of multiply-adds starts from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    /// One value a column, padded to panels.
    Bias(&'a [f32]),
    /// The values that stand in the result.
    Kept,
}

/// Writes `c = start + a b`: every element is one chain of fused multiply-adds in index order.
/// The padding of `c` up to whole panels is written as well.
///
/// # Shapes
/// a: B x K, b: K x N, c: B x N.
#[inline(always)]
pub(crate) fn product<S: Simd>(simd: S, a: Rows, b: &Operand, mut c: RowsMut, start: Start) {
    debug_assert!(a.cols == b.depth && c.cols == b.width && a.rows == c.rows);
    let panels = b.width.div_ceil(LANES);
    let mut first = 0;
    loop {
        let pieces = first..(first + b.pieces_at_once).min(b.pieces());
        let start = if first == 0 { start } else { Start::Kept };
        let mut panel = 0;
        while panel < panels {
            let width = if wide::<S>() { (panels - panel).min(2) } else { 1 };
            let place = Place { b, pieces: pieces.clone(), panel, start };
            if width == 2 {
                column::<S, 12, 2>(simd, &a, place, &mut c);
            } else if wide::<S>() {
                column::<S, 12, 1>(simd, &a, place, &mut c);
            } else {
                column::<S, 6, 1>(simd, &a, place, &mut c);
            }
            panel += width;
        }
        first = pieces.end;
        if first >= b.pieces() {
            break;
        }
    }
}

/// Whether a panel's row is one register: then there are 32 of them, enough for 12 x 2 tiles.
#[inline(always)]
pub(super) fn wide<S: Simd>() -> bool {
    <S::f32s as SimdBase<S>>::LEN == LANES
}

/// Where in the product a column of tiles stands.
#[derive(Clone)]
struct Place<'a> {
    b: &'a Operand<'a>,
    pieces: Range<usize>,
    panel: usize,
    start: Start<'a>,
}

/// All rows of NV panels: tiles of MR rows, then smaller ones for the rest.
#[inline(always)]
fn column<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    a: &Rows,
    place: Place,
    c: &mut RowsMut,
) {
    // Of 16 rows two tiles of 8 keep the multiply-adds busy, where one of 4 beside 12 would not.
    let tall = if MR == 12 && a.rows >= 16 && a.rows % 12 == 4 { a.rows - 16 } else { a.rows };
    let mut row = tiles::<S, MR, NV>(simd, a, 0..tall, &place, c);
    if MR > 8 {
        row = tiles::<S, 8, NV>(simd, a, row..a.rows, &place, c);
    }
    row = tiles::<S, 4, NV>(simd, a, row..a.rows, &place, c);
    row = tiles::<S, 2, NV>(simd, a, row..a.rows, &place, c);
    tiles::<S, 1, NV>(simd, a, row..a.rows, &place, c);
}

/// As many tiles of MR rows as fit; returns where they end. A function of its own for each height:
/// one frame, which stays small without optimization too.
#[inline(always)]
fn tiles<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    a: &Rows,
    rows: Range<usize>,
    place: &Place,
    c: &mut RowsMut,
) -> usize {
    if rows.len() < MR {
        return rows.start;
    }
    simd.vectorize(
        #[inline(always)]
        || {
            let mut row = rows.start;
            while row + MR <= rows.end {
                tile::<S, MR, NV>(simd, a, row, place, c);
                row += MR;
            }
            row
        },
    )
}

#[inline(always)]
fn tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    a: &Rows,
    row: usize,
    place: &Place,
    c: &mut RowsMut,
) {
    let column = place.panel * LANES;
    let mut acc = [[f32x16::splat(simd, 0.0); NV]; MR];
    match place.start {
        Start::Zero => {}
        Start::Bias(bias) => {
            let bias = &bias[column..column + NV * LANES];
            for v in 0..NV {
                let lanes = f32x16::from_slice(simd, &bias[v * LANES..(v + 1) * LANES]);
                for acc in &mut acc {
                    acc[v] = lanes;
                }
            }
        }
        Start::Kept => {
            for (m, acc) in acc.iter_mut().enumerate() {
                let lanes = &c.data[(row + m) * c.stride + column..][..NV * LANES];
                for (v, acc) in acc.iter_mut().enumerate() {
                    *acc = f32x16::from_slice(simd, &lanes[v * LANES..(v + 1) * LANES]);
                }
            }
        }
    }
    for j in place.pieces.clone() {
        let k = place.b.piece(j);
        let len = k.len();
        let mut rows = [&[][..]; MR];
        for (m, slice) in rows.iter_mut().enumerate() {
            *slice = &a.data[(row + m) * a.stride + k.start..][..len];
        }
        let mut panels = [&[][..]; NV];
        for (v, panel) in panels.iter_mut().enumerate() {
            *panel = &place.b.panel(j, place.panel + v)[..len];
        }
        for t in 0..len {
            let mut right = [f32x16::splat(simd, 0.0); NV];
            for v in 0..NV {
                right[v] = f32x16::load_array_ref(simd, &panels[v][t]);
            }
            for m in 0..MR {
                let left = f32x16::splat(simd, rows[m][t]);
                for v in 0..NV {
                    acc[m][v] = left.fma(right[v], acc[m][v]);
                }
            }
        }
    }
    for (m, acc) in acc.iter().enumerate() {
        let lanes = &mut c.data[(row + m) * c.stride + column..][..NV * LANES];
        for (v, acc) in acc.iter().enumerate() {
            acc.store_slice(&mut lanes[v * LANES..(v + 1) * LANES]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::stride;
    use crate::simd::panels::{WeightLayout, transpose_block};
    use crate::simd::testing::levels;
    use crate::simd::{dispatch_at, reference};

    fn check(rows: usize, inputs: usize, outputs: usize) {
        let layout = WeightLayout { inputs, outputs };
        let w = reference::matrix(outputs, inputs, 1);
        let x = reference::padded_matrix(rows, inputs, 2);
        let dy = reference::padded_matrix(rows, outputs, 3);
        let bias = reference::matrix(1, outputs, 4);
        let mut weights = vec![0.0; layout.weights_len()];
        for o in 0..outputs {
            for i in 0..inputs {
                weights[layout.index(o, i)] = w[o * inputs + i];
            }
        }
        let mut transpose = vec![f32::NAN; layout.transpose_len()];
        for b in (0..layout.blocks()).map(|b| layout.block(b)) {
            transpose_block(&b, &weights[b.weights.clone()], &mut transpose[b.transpose.clone()]);
        }
        let mut padded_bias = bias.clone();
        padded_bias.resize(crate::rows::padded(outputs), 0.0);
        let mut first: Option<(Vec<f32>, Vec<f32>)> = None;
        for level in levels() {
            let mut y = vec![f32::NAN; rows * stride(outputs)];
            let mut dx = vec![f32::NAN; rows * stride(inputs)];
            let start = Start::Bias(&padded_bias);
            dispatch_at!(level, simd => product(simd, Rows::of(&x, rows, inputs),
                &layout.forward(&weights), RowsMut::of(&mut y, rows, outputs), start));
            dispatch_at!(level, simd => product(simd, Rows::of(&dy, rows, outputs),
                &layout.backward(&transpose), RowsMut::of(&mut dx, rows, inputs), Start::Zero));
            let (y, dx) = (Rows::of(&y, rows, outputs), Rows::of(&dx, rows, inputs));
            for r in 0..rows {
                let x = |k| x[r * stride(inputs) + k];
                let dy = |k| dy[r * stride(outputs) + k];
                for o in 0..outputs {
                    let exact = reference::dot(inputs, x, |i| w[o * inputs + i], bias[o]);
                    reference::assert_close(y.row(r)[o], exact, "y");
                }
                for i in 0..inputs {
                    let exact = reference::dot(outputs, dy, |o| w[o * inputs + i], 0.0);
                    reference::assert_close(dx.row(r)[i], exact, "dx");
                }
            }
            let bits: (Vec<f32>, Vec<f32>) =
                (y.view().iter().copied().collect(), dx.view().iter().copied().collect());
            match &first {
                None => first = Some(bits),
                Some(first) => assert!(*first == bits, "level changes bits"),
            }
        }
    }

    #[test]
    fn agrees_with_f64_on_odd_sizes_at_every_level() {
        for rows in [1, 2, 3, 5, 7, 12, 13, 23, 31] {
            check(rows, 5, 3);
            check(rows, 33, 17);
        }
        for (inputs, outputs) in [(1, 1), (16, 16), (31, 33), (48, 32), (241, 65), (500, 300)] {
            check(14, inputs, outputs);
        }
    }
}
