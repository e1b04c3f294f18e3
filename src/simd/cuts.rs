//! A dimension cut into runs of whole panels.

use std::ops::Range;

use crate::rows::LANES;

/// `len` indices in so many parts, each of whole panels but for the end of the last one. The first ones may be a panel
/// longer than the others, so all cost about the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cuts {
    len: usize,
    parts: usize,
}

impl Cuts {
    /// As few parts as have no more than `most` indices each, a multiple of 16.
    pub fn new(len: usize, most: usize) -> Self {
        debug_assert!(most.is_multiple_of(LANES));
        Self { len, parts: len.div_ceil(most).max(1) }
    }

    /// Number of indices.
    pub fn len(self) -> usize {
        self.len
    }

    /// Number of parts.
    pub fn parts(self) -> usize {
        self.parts
    }

    /// The indices of a part.
    #[inline(always)]
    pub fn part(self, part: usize) -> Range<usize> {
        match self.parts {
            1 => 0..self.len,
            _ => self.start(part)..self.start(part + 1),
        }
    }

    /// The part that an index belongs to.
    pub fn part_of(self, index: usize) -> usize {
        index / LANES * self.parts / self.panels()
    }

    fn start(self, part: usize) -> usize {
        ((part * self.panels()).div_ceil(self.parts) * LANES).min(self.len)
    }

    fn panels(self) -> usize {
        self.len.div_ceil(LANES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_differ_by_a_panel_at_most() {
        for len in (1..2100).step_by(7).chain([240, 241, 480, 784, 1024, 2048]) {
            for most in [16, 240, 1024] {
                let cuts = Cuts::new(len, most);
                let mut end = 0;
                for part in 0..cuts.parts() {
                    let indices = cuts.part(part);
                    assert!(indices.start == end && indices.start.is_multiple_of(LANES));
                    assert!((1..=most).contains(&indices.len()), "{len} {most}: {indices:?}");
                    assert!(cuts.part(0).len() - indices.len() < 2 * LANES);
                    assert!(indices.clone().all(|index| cuts.part_of(index) == part));
                    end = indices.end;
                }
                assert_eq!(end, len);
            }
        }
        let parts: Vec<usize> = (0..4).map(|part| Cuts::new(784, 240).part(part).len()).collect();
        assert_eq!(parts, [208, 192, 192, 192]);
    }
}
