//! Memory in large pages, where a program may ask for them: on Linux.

use memmap2::MmapMut;

use crate::aligned::LINE;
use crate::rows::LANES;

/// Bytes of a large page.
const LARGE: usize = 2 << 20;

/// Bytes from which it pays where memory is soon given back: a first page takes 92 us, 600 KB of small ones 14.
pub(crate) const LEAST: usize = 2 * LARGE;

/// The same of what lasts: parameters, their state and a training block's rows, each of which may take three quarters of
/// a page more by it. 784-512-512-10 trained 1.03 to 1.04 times as fast on one thread and 1.02 to 1.03 times on two,
/// 54-256-256-256-7 1.005 to 1.02 times (Emerald Rapids).
pub(crate) const LEAST_LASTING: usize = LARGE / 4;

/// Lines of one way of the second cache: lines so far apart share a set.
const WAY: usize = 1024;

/// Zeros of a mapping of its own, and which of its values is the first to be used. Mappings start at
/// different lines of their pages: what is read side by side at equal distances from a page's start,
/// parameters and their state, would share the sets of the caches.
///
/// In such memory 784-2048-2048-10 trained 1.02 times as fast on one thread and on two; with all starts
/// equal it gained less than half of that (Zen 5, medians of 5 to 9 pairs).
///
/// None where less than `least` bytes are wanted, or the system has no large pages.
pub(crate) fn zeros(len: usize, least: usize) -> Option<(MmapMut, usize)> {
    let bytes = len.checked_mul(size_of::<f32>()).filter(|&bytes| bytes >= least)?;
    let map = MmapMut::map_anon(bytes.checked_add(LARGE + WAY * LINE)?).ok()?;
    ask_for_large_pages(&map)?;
    let page = map.as_ptr().align_offset(LARGE);
    let line = spread((map.as_ptr().addr() + page) / LARGE, WAY);
    Some((map, page / size_of::<f32>() + line * LANES))
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages(map: &MmapMut) -> Option<()> {
    map.advise(memmap2::Advice::HugePage).ok()
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_: &MmapMut) -> Option<()> {
    None
}

/// Places below `places`, far from each other for numbers that are near.
///
/// # Source
/// D. E. Knuth, "The Art of Computer Programming", volume 3, section 6.4: multiplicative hashing.
fn spread(number: usize, places: usize) -> usize {
    let hash = (number as u32).wrapping_mul(0x9e37_79b9);
    ((u64::from(hash) * places as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pages_and_more_start_on_a_line() {
        assert!(zeros(LEAST / 4 - 1, LEAST).is_none());
        for len in [LEAST / 4, LEAST + 1] {
            let Some((map, start)) = zeros(len, LEAST) else {
                return eprintln!("skipped: no large pages");
            };
            let values: &[f32] = bytemuck::cast_slice(&map);
            assert!(values[start..][..len].iter().all(|&value| value == 0.0));
            assert_eq!(values[start..].as_ptr() as usize % LINE, 0);
        }
    }

    #[test]
    fn neighbours_are_spread_over_all_places() {
        let mut places: Vec<_> = (1 << 26..).take(16).map(|page| spread(page, WAY)).collect();
        places.sort_unstable();
        let nearest = places.windows(2).map(|pair| pair[1] - pair[0]).min();
        assert!(nearest > Some(WAY / 64) && places[15] < WAY, "{places:?}");
    }
}
