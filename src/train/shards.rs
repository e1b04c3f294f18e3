//! How many shards a batch is cut into: part of the result, for they decide the bits.

/// Fewest rows of a shard and of a block, unless the batch itself is smaller.
pub(super) const FEWEST_ROWS: usize = 16;

/// Rows of a shard where nothing else is configured, and most shards then. Each shard begins the chains of
/// the weight gradient anew and adds its sums to the tree: with 64 rows instead of 16, 784-128-10 trained 1.07
/// times as fast on one thread, 784-512-512-10 1.06, 8-64-64-4 1.02 to 1.075 and 54-256-256-256-7 0.98 to 1.06
/// (Granite Rapids, medians of four to six pairs). With 128 instead of 64 the gradient of 256x784x512 went from 0.915 to
/// 0.937 of the peak, of 1024x240x64 from 0.878 to 0.917, and the first two nets trained 1.007 times as fast on one
/// thread, the last 1.007, 784-2048-2048-10 1.014 to 1.025; with 256 that one 0.99 (Emerald Rapids, epochs in turns; not
/// measured where multiply-adds are double-pumped, and shards of 64 rows were taken two abreast).
const ROWS_PER_SHARD: usize = 128;
const SHARDS: usize = 16;

/// The same where whole shards are dealt out: to the members of a team, or to workers where a user's layer sums up
/// gradients.
const ROWS_PER_WHOLE_SHARD: usize = 64;

/// Parameters up to which a net is small, padding included: it may be trained by a team, and its gradients go through
/// memory, where they stay in the second cache.
pub const SMALL: usize = 1 << 15;

/// Rows from which a small net's batch has two shards, one for each of two members of a team.
const ROWS_OF_TWO: usize = 64;

/// Number of shards of a batch of `rows` rows of a net with `params` parameters, without a user's layer that has some. A
/// configured number is the most there are.
pub fn shards(rows: usize, params: usize, configured: Option<usize>) -> usize {
    shards_of(rows, params, configured, true)
}

/// The same of a net whose shards may lie in several blocks or, because a user's layer sums up gradients, not.
pub(super) fn shards_of(
    rows: usize,
    params: usize,
    configured: Option<usize>,
    divide: bool,
) -> usize {
    if let Some(shards) = configured {
        return shards.min(rows / FEWEST_ROWS).max(1);
    }
    let small = params <= SMALL;
    let rows_per_shard = if small || !divide { ROWS_PER_WHOLE_SHARD } else { ROWS_PER_SHARD };
    let shards = (rows / rows_per_shard).clamp(1, SHARDS);
    // The members of a team have as many shards each.
    if small && rows >= ROWS_OF_TWO { (1 << shards.ilog2()).max(2) } else { shards }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = SMALL + 1;

    #[test]
    fn a_small_nets_shards_can_be_dealt_out_to_two() {
        for (rows, expected) in [
            (1, 1),
            (63, 1),
            (64, 2),
            (127, 2),
            (191, 2),
            (200, 2),
            (256, 4),
            (1000, 8),
            (5000, 16),
        ] {
            assert_eq!(shards(rows, SMALL, None), expected, "{rows} rows");
        }
        assert_eq!((shards(64, LARGE, None), shards(200, SMALL, Some(5))), (1, 5));
    }
}
