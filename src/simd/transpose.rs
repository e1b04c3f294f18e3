//! The transposed weights of a dense layer, which the input gradient is computed from.
//!
//! They lie in panels of 16 inputs, each with all outputs, so that a product goes through long pieces of memory:
//! cut into the 32 outputs of a block of weights, input gradients ran at 0.93 to 0.98 of the forward products' speed,
//! and so at 1.00 to 1.03 (Zen 1). A worker's block of weights owns a piece of each of some panels.

use fearless_simd::{SimdBase, f32x16};

use super::cuts::Cuts;
use super::dispatch;
use super::panels::{BLOCK, Operand, STRIP, WeightBlock, WeightLayout};
use super::product::DEPTH;
use crate::rows::LANES;
use crate::simd::Registers;

/// Most pieces of the transpose that a block of weights owns.
pub(crate) const MOST_PIECES: usize = BLOCK / LANES;

/// Outputs up to which panels follow each other without a gap.
const NARROW: usize = 2 * STRIP;

/// Weights up to which registers, of which a tile takes four times 16 exchanges, are not worth it: timed with the twelve
/// of 4-4-3.
const FEW: usize = 64;

/// The lines of one way of a first cache.
const WAY: usize = 64;

impl WeightLayout {
    /// Lines from one panel of the transpose to the next: a piece and one more beyond whole ways. The pieces of a block
    /// lie so far apart, and are written together: a power of two would put all into the same sets of the caches.
    fn apart(self) -> usize {
        match self.outputs {
            narrow @ ..=NARROW => narrow,
            wide => (wide - STRIP - 1).next_multiple_of(WAY) + STRIP + 1,
        }
    }

    /// Panels of the transpose.
    fn transpose_panels(self) -> usize {
        self.inputs.div_ceil(LANES)
    }

    /// Length of the transpose.
    pub fn transpose_len(self) -> usize {
        self.apart() * LANES * self.transpose_panels()
    }

    /// Pieces of the transpose that blocks of weights own.
    pub fn transpose_pieces(self) -> usize {
        self.outputs.div_ceil(STRIP) * self.transpose_panels()
    }

    /// The transpose as the right operand of the input-gradient product.
    pub fn backward<'a>(self, transpose: &'a [f32]) -> Operand<'a> {
        let pieces = Cuts::new(self.outputs, DEPTH);
        Operand::in_whole_panels(transpose, (pieces, self.inputs), self.apart())
    }

    /// Shares out the transpose: puts the pieces that each block of weights owns, one after the other, into `pieces`,
    /// of which there are as many.
    pub fn share_out<'a>(self, transpose: &'a mut [f32], pieces: &mut [&'a mut [f32]]) {
        let strips = self.outputs.div_ceil(STRIP);
        let heights = self.heights();
        for (p, panel) in transpose.chunks_mut(self.apart() * LANES).enumerate() {
            let inputs = heights.part(heights.part_of(p * LANES));
            let (first, beside) = (inputs.start / LANES, inputs.len().div_ceil(LANES));
            let panel = &mut panel[..self.outputs * LANES];
            for (strip, piece) in panel.chunks_mut(STRIP * LANES).enumerate() {
                pieces[first * strips + strip * beside + p - first] = piece;
            }
        }
    }

    /// The pieces of one block.
    pub fn pieces_of<'a>(
        self,
        block: &WeightBlock,
        transpose: &'a mut [f32],
    ) -> impl Iterator<Item = &'a mut [f32]> {
        let apart = self.apart() * LANES;
        let outputs = block.outputs.start * LANES..block.outputs.end * LANES;
        let panels = transpose[block.inputs.start / LANES * apart..].chunks_mut(apart);
        panels.take(block.pieces()).map(move |panel| &mut panel[outputs.clone()])
    }
}

impl WeightBlock {
    /// Pieces of the transpose that it owns.
    pub fn pieces(&self) -> usize {
        self.inputs.len().div_ceil(LANES)
    }
}

/// Writes a block of weights into its pieces of the transpose; the padding of inputs is zeroed.
pub(crate) fn transpose_block<'a>(
    block: &WeightBlock,
    weights: &[f32],
    pieces: impl Iterator<Item = &'a mut [f32]>,
) {
    if block.inputs.len() * block.outputs.len() <= FEW {
        return transpose_few(block, weights, pieces);
    }
    dispatch!(simd => transpose_at(simd, block, weights, pieces));
}

/// The same of a block of a few weights, one after the other.
fn transpose_few<'a>(
    block: &WeightBlock,
    weights: &[f32],
    pieces: impl Iterator<Item = &'a mut [f32]>,
) {
    let (inputs, weights) = (block.inputs.len(), weights.as_chunks::<LANES>().0);
    for (first, piece) in (0..inputs).step_by(LANES).zip(pieces) {
        piece.fill(0.0);
        for (output, to) in piece.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let panel = &weights[output / LANES * inputs..][first..inputs];
            for (to, row) in to.iter_mut().zip(panel) {
                *to = row[output % LANES];
            }
        }
    }
}

/// As [`transpose_block`], at a level at hand and for any block.
#[inline(always)]
pub(super) fn transpose_at<'a, S: Registers>(
    simd: S,
    block: &WeightBlock,
    weights: &[f32],
    pieces: impl Iterator<Item = &'a mut [f32]>,
) {
    let weights = weights.as_chunks::<LANES>().0;
    let inputs = block.inputs.len();
    for (first, piece) in (0..inputs).step_by(LANES).zip(pieces) {
        let rows = (inputs - first).min(LANES);
        let panels = weights.chunks_exact(inputs);
        for (panel, to) in panels.zip(piece.chunks_mut(LANES * LANES)) {
            let mut tile = [f32x16::splat(simd, 0.0); LANES];
            for (lanes, row) in tile.iter_mut().zip(&panel[first..first + rows]) {
                *lanes = f32x16::load_array_ref(simd, row);
            }
            for (lanes, to) in transposed(tile).iter().zip(to.as_chunks_mut::<LANES>().0) {
                lanes.store_array(to);
            }
        }
    }
}

/// Transposes 16 x 16 values: four times, row i and row i + 8 are interleaved into rows 2i and 2i + 1.
#[inline(always)]
fn transposed<S: Registers>(mut tile: [f32x16<S>; LANES]) -> [f32x16<S>; LANES] {
    for _ in 0..4 {
        let rows = tile;
        for i in 0..LANES / 2 {
            tile[2 * i] = rows[i].zip_low(rows[i + 8]);
            tile[2 * i + 1] = rows[i].zip_high(rows[i + 8]);
        }
    }
    tile
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [(usize, usize); 11] = [
        (1, 1),
        (4, 3),
        (3, 20),
        (20, 3),
        (2, 70),
        (17, 33),
        (240, 32),
        (241, 48),
        (784, 130),
        (40, 128),
        (33, 1100),
    ];

    #[test]
    fn blocks_own_all_of_the_transpose_once() {
        for (inputs, outputs) in SIZES {
            let layout = WeightLayout { inputs, outputs };
            let mut transpose = vec![0.0; layout.transpose_len()];
            let mut pieces: Vec<&mut [f32]> = vec![];
            pieces.resize_with(layout.transpose_pieces(), Default::default);
            layout.share_out(&mut transpose, &mut pieces);
            let mut rest = &mut pieces[..];
            for (number, block) in (0..layout.blocks()).map(|b| layout.block(b)).enumerate() {
                let own;
                (own, rest) = std::mem::take(&mut rest).split_at_mut(block.pieces());
                for piece in own {
                    assert_eq!(piece.len(), block.outputs.len() * LANES);
                    piece.fill(number as f32 + 1.0);
                }
            }
            assert!(rest.is_empty());
            for block in (0..layout.blocks()).map(|b| layout.block(b)).enumerate().rev() {
                let (number, block) = block;
                for piece in layout.pieces_of(&block, &mut transpose) {
                    assert!(piece.iter().all(|&value| value == number as f32 + 1.0));
                    piece.fill(0.0);
                }
            }
            assert!(transpose.iter().all(|&value| value == 0.0));
        }
    }

    #[test]
    fn the_operand_finds_every_weight_and_zeros_beside_them() {
        for (inputs, outputs) in SIZES {
            let layout = WeightLayout { inputs, outputs };
            let mut weights = vec![0.0; layout.weights_len()];
            let mut transpose = vec![f32::NAN; layout.transpose_len()];
            for o in 0..outputs {
                for i in 0..inputs {
                    weights[layout.index(o, i)] = (o * inputs + i + 1) as f32;
                }
            }
            for b in (0..layout.blocks()).map(|b| layout.block(b)) {
                let pieces = layout.pieces_of(&b, &mut transpose);
                transpose_block(&b, &weights[b.weights.clone()], pieces);
            }
            let operand = layout.backward(&transpose);
            for indices in (0..operand.pieces()).map(|index| operand.piece(index)) {
                for p in 0..operand.panels() {
                    for (o, row) in indices.clone().zip(operand.panel(p).piece(&indices)) {
                        for (i, &found) in (p * LANES..).zip(row) {
                            let weight = if i < inputs { (o * inputs + i + 1) as f32 } else { 0.0 };
                            assert_eq!(found, weight, "({o}, {i}) of {outputs} x {inputs}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn pieces_of_a_block_are_spread_over_the_sets_of_a_cache() {
        for outputs in [65, 128, 250, 256, 480, 512, 2048] {
            let apart = WeightLayout { inputs: 240, outputs }.apart();
            let mut lines = [0; WAY];
            for piece in 0..MOST_PIECES {
                (0..STRIP).for_each(|line| lines[(piece * apart + line) % WAY] += 1);
            }
            assert!(lines.iter().all(|&lines| lines <= 8), "{outputs}: {lines:?}");
        }
    }
}
