//! Chapters that go deeper than the front page.

/// How training scales over threads: how to measure, read and cite it.
///
#[doc = include_str!("../docs/scaling.md")]
#[doc = include_str!("../docs/scaling/speed-up.svg")]
#[doc = include_str!("../docs/scaling/phases-medium.svg")]
#[doc = include_str!("../docs/scaling/prediction-cores-like-these.svg")]
///
#[doc = include_str!("../docs/scaling/measured.md")]
pub mod scaling {}

#[cfg(test)]
mod tests {
    use crate::train::block_rows;

    /// Parameters of a net that no team trains.
    const LARGE: usize = 1_000_000;

    /// The chapter's table of batches.
    #[test]
    fn two_blocks_for_each_thread() {
        let chapter = include_str!("../docs/scaling.md");
        for (threads, batch) in [(2, 64), (8, 256), (16, 512), (32, 1024), (64, 2048)] {
            let row = format!("| {threads} | {batch} |");
            assert!(chapter.contains(&row), "{row}");
            assert_eq!(block_rows(batch, LARGE, threads).len(), 2 * threads);
            assert_eq!(block_rows(batch / 2, LARGE, threads).len(), threads);
        }
    }
}
