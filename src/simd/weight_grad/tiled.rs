//! Rows of a layer's input once more, in the order in which the weight gradient's tiles read them.

use crate::rows::Rows;
use crate::simd::panels::{TALL, WeightLayout};

/// Length of the copy of `rows` rows.
pub(crate) fn tiled_len(layout: WeightLayout, rows: usize) -> usize {
    layout.tiles() * TALL * rows
}

/// Copies rows to `[tile of inputs][row][TALL]`; what a range's last tile lacks is left as it is.
pub(crate) fn write_tiled(layout: WeightLayout, x: &Rows, to: &mut [f32]) {
    let mut tiles = to.chunks_exact_mut(TALL * x.rows.max(1));
    for start in (0..layout.inputs).step_by(layout.height()) {
        let end = (start + layout.height()).min(layout.inputs);
        for (first, tile) in (start..end).step_by(TALL).zip(&mut tiles) {
            let to = tile.as_chunks_mut::<TALL>().0;
            let from = x.data.chunks_exact(x.stride);
            if end - first >= TALL {
                for (to, row) in to.iter_mut().zip(from) {
                    *to = *row[first..].first_chunk().expect("a whole tile lies within a row");
                }
            } else {
                for (to, row) in to.iter_mut().zip(from) {
                    to[..end - first].copy_from_slice(&row[first..end]);
                }
            }
        }
    }
}
