//! How the weights of a dense layer lie in memory: in blocks, so that one contiguous range of
//! parameters, its optimizer state and its transpose can be updated by one worker.

use std::ops::Range;

use fearless_simd::{Simd, SimdBase, f32x16};

use super::dispatch;
use crate::rows::{LANES, padded};

/// Outputs of a strip: two panels, the width of the widest tile.
pub(crate) const STRIP: usize = 2 * LANES;

/// Most inputs of a block of weights. With 32 outputs it is 30 KB, which stays in the first cache while
/// the rows of a batch pass by.
pub(crate) const BLOCK: usize = 240;

/// The layout of weights of `inputs` x `outputs` (I x O), and of their transpose.
///
/// Weights: `[block of inputs][panel of 16 outputs][input][16]`, O padded to panels.
/// Transpose: `[block of inputs][strip][panel of 16 inputs][output of the strip][16]`, I padded to
/// panels.
///
/// The blocks of one range of inputs follow each other, for what their gradients share, these columns
/// of x, then stays in the second cache: on one thread the second half of a step of 784-512-512-10
/// with 256 rows went from 0.70 to 0.76 of the peak (Zen 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WeightLayout {
    pub inputs: usize,
    pub outputs: usize,
}

/// A block of weights that is updated as one: 32 outputs by up to [`BLOCK`] inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightBlock {
    pub inputs: Range<usize>,
    pub outputs: Range<usize>,
    /// Where it lies in the weights.
    pub weights: Range<usize>,
    /// Where its transpose lies.
    pub transpose: Range<usize>,
}

impl WeightBlock {
    /// Panels of 16 outputs, the last one padded.
    pub fn panels(&self) -> usize {
        self.outputs.len().div_ceil(LANES)
    }
}

impl WeightLayout {
    /// Length of the weights.
    pub fn weights_len(self) -> usize {
        padded(self.outputs) * self.inputs
    }

    /// Length of the transpose.
    pub fn transpose_len(self) -> usize {
        self.outputs * padded(self.inputs)
    }

    /// Inputs of each block but the last, whole panels, so that all blocks cost about the same.
    pub fn height(self) -> usize {
        padded(self.inputs.div_ceil(self.inputs.div_ceil(BLOCK)))
    }

    /// Number of blocks.
    pub fn blocks(self) -> usize {
        self.outputs.div_ceil(STRIP) * self.inputs.div_ceil(self.height())
    }

    /// Block `index`; blocks follow each other in the weights and in the transpose.
    pub fn block(self, index: usize) -> WeightBlock {
        let strips = self.outputs.div_ceil(STRIP);
        let outputs = within(index % strips * STRIP, STRIP, self.outputs);
        let inputs = within(index / strips * self.height(), self.height(), self.inputs);
        let high = padded(inputs.len());
        let weights = padded(self.outputs) * inputs.start + outputs.start * inputs.len();
        let transpose = self.outputs * inputs.start + outputs.start * high;
        WeightBlock {
            weights: weights..weights + padded(outputs.len()) * inputs.len(),
            transpose: transpose..transpose + outputs.len() * high,
            inputs,
            outputs,
        }
    }

    /// Where weight (output, input) lies.
    pub fn index(self, output: usize, input: usize) -> usize {
        let block =
            self.block(input / self.height() * self.outputs.div_ceil(STRIP) + output / STRIP);
        let panel = (output - block.outputs.start) / LANES;
        block.weights.start
            + (panel * block.inputs.len() + input - block.inputs.start) * LANES
            + output % LANES
    }

    /// The weights as the right operand of the forward product.
    pub fn forward<'a>(self, weights: &'a [f32]) -> Operand<'a> {
        let (depth, width) = (self.inputs, self.outputs);
        Operand { data: weights, depth, width, piece: self.height(), per_block: usize::MAX }
    }

    /// The transpose as the right operand of the input-gradient product.
    pub fn backward<'a>(self, transpose: &'a [f32]) -> Operand<'a> {
        let (depth, width) = (self.outputs, self.inputs);
        Operand { data: transpose, depth, width, piece: STRIP, per_block: self.height() / LANES }
    }
}

fn within(start: usize, len: usize, end: usize) -> Range<usize> {
    start..(start + len).min(end)
}

/// The right operand (`depth` x `width`) of a product, in panels of 16 columns, each cut into pieces
/// along the summed dimension: `[block of panels][piece][panel][index of the sum][16]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    data: &'a [f32],
    pub depth: usize,
    pub width: usize,
    /// The summed dimension of each piece but the last.
    pub piece: usize,
    /// Panels of a block.
    per_block: usize,
}

/// A panel of an operand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panel<'a> {
    /// The block of panels that it belongs to, and what comes after.
    block: &'a [[f32; LANES]],
    /// Its place among the block's panels, and how many there are.
    index: usize,
    panels: usize,
}

impl<'a> Operand<'a> {
    /// Number of values, with the padding.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Number of pieces.
    pub fn pieces(&self) -> usize {
        self.depth.div_ceil(self.piece)
    }

    /// Number of panels.
    pub fn panels(&self) -> usize {
        self.width.div_ceil(LANES)
    }

    /// Panel `panel`.
    #[inline(always)]
    pub fn panel(&self, panel: usize) -> Panel<'a> {
        let first = if panel < self.per_block { 0 } else { panel - panel % self.per_block };
        let panels = (self.panels() - first).min(self.per_block);
        let block = &self.data.as_chunks().0[first * self.depth..];
        Panel { block, index: panel - first, panels }
    }
}

impl<'a> Panel<'a> {
    /// The piece for these indices of the summed dimension: a row of 16 columns for each.
    #[inline(always)]
    pub fn piece(&self, indices: &Range<usize>) -> &'a [[f32; LANES]] {
        &self.block[indices.start * self.panels + self.index * indices.len()..][..indices.len()]
    }

    /// That of this panel and of those after it, `count` of them as far as they follow each other.
    #[inline(always)]
    pub fn pieces(&self, indices: &Range<usize>, count: usize) -> &'a [[f32; LANES]] {
        let (len, count) = (indices.len(), count.min(self.panels - self.index));
        &self.block[indices.start * self.panels + self.index * len..][..len * count]
    }
}

/// Writes a block of weights into its transpose; the padding of the transpose is zeroed.
pub(crate) fn transpose_block(block: &WeightBlock, weights: &[f32], transpose: &mut [f32]) {
    dispatch!(simd => transpose_at(simd, block, weights, transpose));
}

/// The same at a level at hand.
#[inline(always)]
pub(super) fn transpose_at<S: Simd>(
    simd: S,
    block: &WeightBlock,
    weights: &[f32],
    transpose: &mut [f32],
) {
    let (inputs, outputs) = (block.inputs.len(), block.outputs.len());
    for (p, panel) in weights.chunks_exact(inputs * LANES).enumerate() {
        let outputs_here = (outputs - p * LANES).min(LANES);
        for (ip, rows) in panel.chunks(LANES * LANES).enumerate() {
            let rows = rows.as_chunks::<LANES>().0;
            let mut tile = [f32x16::splat(simd, 0.0); LANES];
            for (lanes, row) in tile.iter_mut().zip(rows) {
                *lanes = f32x16::load_array_ref(simd, row);
            }
            let start = (ip * outputs + p * LANES) * LANES;
            let to = transpose[start..start + outputs_here * LANES].as_chunks_mut::<LANES>().0;
            for (lanes, to) in transposed(tile).iter().zip(to) {
                lanes.store_array(to);
            }
        }
    }
}

/// Transposes 16 x 16 values: four times, row i and row i + 8 are interleaved into rows 2i and 2i + 1.
#[inline(always)]
fn transposed<S: Simd>(mut tile: [f32x16<S>; LANES]) -> [f32x16<S>; LANES] {
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

    const SIZES: [(usize, usize); 6] = [(1, 1), (4, 3), (17, 33), (240, 32), (241, 48), (784, 130)];

    #[test]
    fn blocks_tile_weights_and_transpose_without_gaps() {
        for (inputs, outputs) in SIZES {
            let layout = WeightLayout { inputs, outputs };
            let (mut weights, mut transpose) = (0, 0);
            for b in (0..layout.blocks()).map(|b| layout.block(b)) {
                assert_eq!((b.weights.start, b.transpose.start), (weights, transpose));
                (weights, transpose) = (b.weights.end, b.transpose.end);
            }
            assert_eq!((weights, transpose), (layout.weights_len(), layout.transpose_len()));
        }
    }

    #[test]
    fn both_operands_find_every_weight() {
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
                transpose_block(
                    &b,
                    &weights[b.weights.clone()],
                    &mut transpose[b.transpose.clone()],
                );
            }
            let height = layout.height();
            let (forward, backward) = (layout.forward(&weights), layout.backward(&transpose));
            for o in 0..outputs {
                for i in 0..inputs {
                    let expected = (o * inputs + i + 1) as f32;
                    let piece = |i, len, end| within(i / len * len, len, end);
                    let (rows, columns) = (piece(i, height, inputs), piece(o, STRIP, outputs));
                    let w = forward.panel(o / LANES).piece(&rows)[i % height][o % LANES];
                    let wt = backward.panel(i / LANES).piece(&columns)[o % STRIP][i % LANES];
                    assert_eq!((w, wt), (expected, expected));
                }
            }
        }
    }
}
