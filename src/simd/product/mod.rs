//! The product of rows with panels: the forward pass and the input gradient.

mod begin;
mod chain;
mod column;
mod tile;

use std::ops::Range;

pub(crate) use self::begin::Begin;
use self::begin::Way;
use self::column::{Beside, NOTHING, PANELS, ROWS, column};
pub(crate) use self::tile::{Finish, Slope, Start};
use super::panels::Operand;
use crate::rows::{LANES, Rows, RowsMut};
use crate::simd::{Ahead, Registers, dispatch, is_double_pumped};

/// Most of the summed dimension that a tile goes through at once. Panels come from the second cache
/// as fast as from the first, and every stop to store and load a tile costs 45 cycles: with 240,
/// what the first cache holds, 64x784x128 ran at 0.94 of the peak and with 784 at 0.98 (Zen 5); with 2,048
/// input gradients of 64x2048x2048 at 0.99 of the speed (Zen 1).
pub(crate) const DEPTH: usize = 1024;

/// Floats of a right operand that stays in the second cache from one product to the next.
const NEAR: usize = 32 << 10;

/// Floats of the left operand that stay in the second cache while the panels pass by.
const SLAB: usize = 128 << 10;

/// Rows of a tile by three panels. It takes 31 instructions an index, one of 12 by two 30, but the left operand passes by
/// once for three panels. Both with operands from memory, 784-2048-2048-10 trained 1.03 times as fast by it, two threads
/// 1.00, 784-512-512-10 0.995 and 1.013, while 128x784x512 by itself ran at 0.98 to 1.00 (Emerald Rapids; not measured where
/// multiply-adds are double-pumped).
const LOW: usize = 8;

/// Fewest rows of a product that asks whether multiply-adds are double-pumped, so that the few rows of a prediction need
/// not wait for the answer. So many rows are three tiles by three panels, one to ask for each of the next three.
const ROWS_TO_ASK: usize = 3 * LOW;

/// What the chains of a product begin with, what becomes of their sums, and whether to bound these.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends<'e> {
    pub start: &'e Start<'e>,
    pub finish: &'e Finish<'e>,
    pub bound: bool,
}

/// Writes `c = finish(start + a b)`: every element is one chain of fused multiply-adds in index order.
/// The padding of `c` up to whole panels is written as well. Meanwhile what `ahead` says is asked for and
/// copied. Returns, if wanted, a bound on the absolute values in `c`, infinity where one is infinite or NaN.
///
/// # Shapes
/// a: B x K, b: K x N, c and the rows of `finish`: B x N.
#[inline(never)]
pub(crate) fn product(
    a: &Rows,
    b: &Operand,
    c: &mut RowsMut,
    ends: Ends,
    ahead: &mut Ahead,
) -> Option<f32> {
    let pumped: fn() -> bool = is_double_pumped;
    dispatch!(simd => product_at(simd, a, b, c, ends, (ahead, pumped)))
}

#[inline(always)]
fn product_at<S: Registers>(
    simd: S,
    a: &Rows,
    b: &Operand,
    c: &mut RowsMut,
    Ends { start, finish, bound }: Ends,
    (ahead, pumped): (&mut Ahead, fn() -> bool),
) -> Option<f32> {
    debug_assert!(a.cols == b.depth() && c.cols == b.width && a.rows == c.rows);
    if S::WIDE {
        ahead.copy();
    }
    let far = b.len() > NEAR || !ahead.is_done();
    let embedded = S::WIDE && a.rows >= ROWS_TO_ASK && b.panels() > 1 && !pumped();
    let by_threes = embedded && is_by_threes(b.panels());
    let mut beside = Beside { ahead, largest: bound.then_some([0; LANES]) };
    if b.depth() <= DEPTH && a.rows * b.depth() <= SLAB {
        let place = Place { b, pieces: 0..b.pieces(), start, finish, far, embedded, by_threes };
        columns(simd, a, &place, c, &mut beside);
        return beside.bound();
    }
    let height = if by_threes {
        LOW
    } else if S::WIDE {
        12
    } else {
        6
    };
    let at_once = at_once(b);
    let slab = (SLAB / b.depth().min(at_once * b.piece(0).len()).max(1)).max(height);
    let rows_at_once = evenly(a.rows, a.rows.div_ceil(slab), height);
    for row in (0..a.rows).step_by(rows_at_once) {
        let rows = row..(row + rows_at_once).min(a.rows);
        for first in (0..b.pieces()).step_by(at_once) {
            let pieces = first..(first + at_once).min(b.pieces());
            let start = if first == 0 { start } else { &Start::Kept };
            let last = pieces.end == b.pieces();
            let finish = if last { &finish.slice(rows.clone()) } else { &Finish::Sum };
            let place = Place { b, pieces, start, finish, far, embedded, by_threes };
            let (a, mut c) = (a.slice(rows.clone()), c.slice(rows.clone()));
            columns(simd, &a, &place, &mut c, &mut beside);
        }
    }
    beside.bound()
}

/// Pieces that a tile goes through at once.
fn at_once(b: &Operand) -> usize {
    evenly(b.pieces(), b.depth().div_ceil(DEPTH), 1)
}

/// The length of each of `parts` parts of `len`, a multiple of `unit`, the last one shorter.
fn evenly(len: usize, parts: usize, unit: usize) -> usize {
    len.div_ceil(parts.max(1)).next_multiple_of(unit).max(1)
}

/// Whether of so many panels the next three are one column of tiles: not where one would be left alone.
fn is_by_threes(panels: usize) -> bool {
    panels == 3 || panels > 4
}

/// Some pieces of the right operand.
struct Place<'a> {
    b: &'a Operand<'a>,
    pieces: Range<usize>,
    start: &'a Start<'a>,
    finish: &'a Finish<'a>,
    /// Whether memory is to be asked for ahead.
    far: bool,
    /// Whether multiply-adds may take operands from memory.
    embedded: bool,
    /// Whether three panels may be taken at once, while no rows are copied: then 784-128-10 trained at 0.99, before
    /// operands came from memory.
    by_threes: bool,
}

/// Columns of tiles, one after the other.
#[inline(always)]
fn columns<S: Registers>(simd: S, a: &Rows, place: &Place, c: &mut RowsMut, beside: &mut Beside) {
    let mut way = place.b.begin.way(place.b.panels());
    while !way.panels.is_empty() {
        let gone = next_column(simd, a, place, &way, c, beside);
        way.advance(gone);
    }
}

/// The next column of tiles; returns how many panels it has.
#[inline(always)]
fn next_column<S: Registers>(
    simd: S,
    a: &Rows,
    place: &Place,
    way: &Way,
    c: &mut RowsMut,
    beside: &mut Beside,
) -> usize {
    let rows = !beside.ahead.is_done();
    if S::EMULATED {
        column::<S, 1, 1, NOTHING>(simd, a, place, way, c, beside)
    } else if S::WIDE {
        let left = way.panels.len();
        let three = place.by_threes && is_by_threes(left) && !rows;
        match (left, place.far) {
            (_, true) if three => column::<S, LOW, 3, PANELS>(simd, a, place, way, c, beside),
            (_, false) if three => column::<S, LOW, 3, NOTHING>(simd, a, place, way, c, beside),
            (2.., true) if rows => column::<S, 12, 2, ROWS>(simd, a, place, way, c, beside),
            (2.., true) => column::<S, 12, 2, PANELS>(simd, a, place, way, c, beside),
            (2.., false) => column::<S, 12, 2, NOTHING>(simd, a, place, way, c, beside),
            _ => column::<S, 12, 1, NOTHING>(simd, a, place, way, c, beside),
        }
    } else if place.far && rows {
        column::<S, 6, 1, ROWS>(simd, a, place, way, c, beside)
    } else if place.far {
        column::<S, 6, 1, PANELS>(simd, a, place, way, c, beside)
    } else {
        column::<S, 6, 1, NOTHING>(simd, a, place, way, c, beside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::rows_len;
    use crate::simd::panels::WeightLayout;
    use crate::simd::testing::ways;
    use crate::simd::transpose::transpose_block;
    use crate::simd::{dispatch_at, largest, reference};

    fn check(rows: usize, inputs: usize, outputs: usize) {
        let layout = WeightLayout { inputs, outputs };
        let w = reference::matrix(outputs, inputs, 1);
        let x = reference::panels(rows, inputs, 2);
        let dy = reference::panels(rows, outputs, 3);
        let bias = reference::matrix(1, outputs, 4);
        let mut weights = vec![0.0; layout.weights_len()];
        for o in 0..outputs {
            for i in 0..inputs {
                weights[layout.index(o, i)] = w[o * inputs + i];
            }
        }
        let mut transpose = vec![f32::NAN; layout.transpose_len()];
        for b in (0..layout.blocks()).map(|b| layout.block(b)) {
            let pieces = layout.pieces_of(&b, &mut transpose);
            transpose_block(&b, &weights[b.weights.clone()], pieces);
        }
        let mut padded_bias = bias.clone();
        padded_bias.resize(crate::rows::padded(outputs), 0.0);
        let mut first: Option<(Vec<f32>, Vec<f32>)> = None;
        let begins = [Begin::FIRST, Begin::after(1, 2)];
        let all = ways().into_iter().flat_map(|way| begins.map(|begin| (way, begin)));
        for ((pumped, level), begin) in all {
            let mut y = vec![f32::NAN; rows_len(rows, outputs)];
            let mut dx = vec![f32::NAN; rows_len(rows, inputs)];
            let (start, finish) = (&Start::Bias(&padded_bias), &Finish::Sum);
            let forward = Ends { start, finish, bound: true };
            let backward = Ends { start: &Start::Zero, finish, bound: false };
            let bound = dispatch_at!(level, simd => product_at(simd, &Rows::of(&x, rows, inputs),
                &layout.forward(&weights).beginning(begin), &mut RowsMut::of(&mut y, rows, outputs), forward,
                (&mut Ahead::none(), pumped)));
            assert!(bound.is_some());
            let bound = dispatch_at!(level, simd => product_at(simd, &Rows::of(&dy, rows, outputs),
                &layout.backward(&transpose).beginning(begin), &mut RowsMut::of(&mut dx, rows, inputs), backward,
                (&mut Ahead::none(), pumped)));
            assert!(bound.is_none());
            let dx = Rows::of(&dx, rows, inputs).to_vec();
            let y = Rows::of(&y, rows, outputs).to_vec();
            let (first_y, first_dx) = first.get_or_insert_with(|| (y.clone(), dx.clone()));
            assert!((&*first_y, &*first_dx) == (&y, &dx), "level or beginning changes bits");
        }
        let (y, dx) = first.unwrap();
        let (x, dy) = (Rows::of(&x, rows, inputs).to_vec(), Rows::of(&dy, rows, outputs).to_vec());
        for r in 0..rows {
            let x = |k| x[r * inputs + k];
            let dy = |k| dy[r * outputs + k];
            for o in 0..outputs {
                let exact = reference::dot(inputs, x, |i| w[o * inputs + i], bias[o]);
                reference::assert_close(y[r * outputs + o], exact, "y");
            }
            for i in 0..inputs {
                let exact = reference::dot(outputs, dy, |o| w[o * inputs + i], 0.0);
                reference::assert_close(dx[r * inputs + i], exact, "dx");
            }
        }
    }

    #[test]
    fn a_finish_is_what_a_pass_afterwards_would_do() {
        for (rows, inputs, outputs) in [(1, 5, 3), (14, 33, 17), (26, 40, 30), (31, 1100, 40)] {
            let layout = WeightLayout { inputs, outputs };
            let x = reference::panels(rows, inputs, 1);
            let weights = reference::matrix(1, layout.weights_len(), 2);
            let before = reference::panels(rows, outputs, 3);
            let before = Rows::of(&before, rows, outputs);
            let bias = vec![0.1; crate::rows::padded(outputs)];
            for (pumped, level) in ways() {
                let run = |finish| {
                    let mut y = vec![0.0; rows_len(rows, outputs)];
                    let ends = Ends { start: &Start::Bias(&bias), finish: &finish, bound: true };
                    let bound = dispatch_at!(level, simd => product_at(simd, &Rows::of(&x, rows, inputs),
                        &layout.forward(&weights), &mut RowsMut::of(&mut y, rows, outputs), ends,
                        (&mut Ahead::none(), pumped)));
                    (Rows::of(&y, rows, outputs).to_vec(), bound)
                };
                let (sums, bound) = run(Finish::Sum);
                let bound = bound.unwrap();
                assert!(bound >= largest(&sums) && bound <= 2.0 * largest(&sums));
                let (positive, _) = run(Finish::Relu);
                let (masked, _) = run(Finish::Gradient(Slope::Relu, before));
                let (flattened, _) = run(Finish::Gradient(Slope::Tanh, before));
                for (i, y) in before.to_vec().into_iter().enumerate() {
                    assert_eq!(positive[i], sums[i].max(0.0));
                    assert_eq!(masked[i], if y > 0.0 { sums[i] } else { 0.0 });
                    assert_eq!(flattened[i], sums[i] * (-y).mul_add(y, 1.0));
                }
            }
        }
    }

    fn copies_rows<S: Registers>(_simd: S) -> bool {
        S::WIDE
    }

    #[test]
    fn rows_copied_meanwhile_are_whole_and_change_no_sum() {
        let ahead: Vec<f32> = (0..140_000).map(|i| i as f32).collect();
        let order: Vec<u32> = (0..25).map(|r| 1999 - 40 * r).collect();
        for (rows, inputs, outputs) in
            [(5, 3, 170), (31, 70, 100), (39, 70, 100), (40, 250, 64), (13, 1100, 40)]
        {
            let layout = WeightLayout { inputs, outputs };
            let x = reference::panels(rows, inputs, 1);
            let weights = reference::matrix(1, layout.weights_len(), 2);
            let ends = Ends { start: &Start::Zero, finish: &Finish::Sum, bound: false };
            for (pumped, level) in ways() {
                let run = |ahead: &mut Ahead| {
                    let mut y = vec![0.0; rows_len(rows, outputs)];
                    dispatch_at!(level, simd => product_at(simd, &Rows::of(&x, rows, inputs),
                        &layout.forward(&weights), &mut RowsMut::of(&mut y, rows, outputs), ends, (ahead, pumped)));
                    Rows::of(&y, rows, outputs).to_vec()
                };
                let mut copies = vec![f32::NAN; rows_len(25, 70)];
                let mut next = Ahead::rows(&ahead, &order, RowsMut::of(&mut copies, 25, 70));
                assert!(run(&mut next) == run(&mut Ahead::none()));
                let copied = next.copied();
                let copies_rows = dispatch_at!(level, simd => copies_rows(simd));
                assert_eq!(copied > 0, copies_rows, "{level:?}");
                let copies = Rows::of(&copies, 25, 70);
                for (r, &row) in order.iter().enumerate().take(copied) {
                    for p in 0..70 / LANES {
                        let from = &ahead[row as usize * 70 + p * LANES..][..LANES];
                        assert_eq!(copies.lanes(r, p), from, "row {r} beside {rows} rows");
                    }
                }
            }
        }
    }

    #[test]
    fn a_column_has_room_for_its_pieces() {
        for inputs in 1..5000 {
            let b = WeightLayout { inputs, outputs: 1 }.forward(&[]);
            let most = if inputs <= DEPTH { b.pieces() } else { at_once(&b) };
            assert!(most <= column::PIECES, "{inputs} inputs");
        }
    }

    #[test]
    fn what_is_not_finite_has_no_bound() {
        let layout = WeightLayout { inputs: 3, outputs: 20 };
        let x = reference::in_panels(&[0.5, -1.0, 0.1, 0.2, f32::MAX, 0.7], 3, f32::NAN);
        let weights = vec![2.0; layout.weights_len()];
        let mut y = vec![0.0; rows_len(2, 20)];
        let ends = Ends { start: &Start::Zero, finish: &Finish::Sum, bound: true };
        for (pumped, level) in ways() {
            let bound = dispatch_at!(level, simd => product_at(simd, &Rows::of(&x, 2, 3),
                &layout.forward(&weights), &mut RowsMut::of(&mut y, 2, 20), ends, (&mut Ahead::none(), pumped)));
            assert_eq!(bound, Some(f32::INFINITY));
        }
    }

    #[test]
    fn what_is_small_does_not_wait_for_a_measurement() {
        let asked = || panic!("asked whether multiply-adds are double-pumped");
        for (rows, outputs) in [(ROWS_TO_ASK - 1, 100), (ROWS_TO_ASK, 16)] {
            let layout = WeightLayout { inputs: 40, outputs };
            let x = reference::panels(rows, 40, 1);
            let weights = reference::matrix(1, layout.weights_len(), 2);
            let ends = Ends { start: &Start::Zero, finish: &Finish::Sum, bound: false };
            for (_, level) in ways() {
                let mut y = vec![0.0; rows_len(rows, outputs)];
                dispatch_at!(level, simd => product_at(simd, &Rows::of(&x, rows, 40),
                    &layout.forward(&weights), &mut RowsMut::of(&mut y, rows, outputs), ends,
                    (&mut Ahead::none(), asked)));
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
        // By three panels and by two, whose next ones some tiles ask for or all do, in tiles of every height, and in
        // several slabs and parts of the sum.
        for (rows, inputs, outputs) in [
            (25, 33, 80),
            (40, 33, 30),
            (39, 500, 300),
            (40, 300, 110),
            (72, 300, 110),
            (39, 1100, 20),
            (40, 1100, 20),
            (260, 1100, 40),
            (260, 1100, 20),
        ] {
            check(rows, inputs, outputs);
        }
    }
}
