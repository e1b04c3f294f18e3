//! Where among the panels of its right operand a product begins.

use std::mem::take;
use std::ops::Range;

/// Where in a product's panels it begins, as a part of them; from their end it goes on with those before.
///
/// Two cores that go through the same panels side by side, of which each has just written half, take lines from each other
/// that both are multiplying by: 64x784x128, 128x784x512 and 128x512x512 ran at 0.79 to 0.98 of the speed, and at 0.97
/// to 1.00 where nobody else read what the other core had written. Who had written all of them was held up longer than who
/// only read. Beginning half of the panels apart, two threads trained 784-128-10 1.015 to 1.025 times as fast,
/// 54-256-256-256-7 1.015 to 1.02 times and 784-512-512-10 1.03 to 1.04 times (Emerald Rapids).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begin {
    part: usize,
    parts: usize,
}

impl Begin {
    /// With the first panel.
    pub const FIRST: Self = Self { part: 0, parts: 1 };

    /// After so many of so many parts, of which there is one at least.
    pub fn after(part: usize, parts: usize) -> Self {
        Self { part, parts }
    }

    /// The way through `panels` panels. It begins at an even one, for tiles by one panel are slow.
    #[inline(always)]
    pub(super) fn way(self, panels: usize) -> Way {
        // Where one worker makes the steps it does not wait for a division: those of the smallest nets take a microsecond.
        let first = if self.part == 0 { 0 } else { (panels * self.part / self.parts) & !1 };
        Way { panels: first..panels, then: 0..first }
    }
}

/// What is left of a product's way through the panels.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// Panels that are gone through one after the other, none where nothing is left.
    pub panels: Range<usize>,
    /// Those with which it goes on.
    then: Range<usize>,
}

impl Way {
    /// Up to `count` panels that come after the next `count`.
    #[inline(always)]
    pub fn after(&self, count: usize) -> Range<usize> {
        let here = self.panels.start + count..self.panels.end;
        let Range { start, end } = if here.is_empty() { self.then.clone() } else { here };
        start..end.min(start + count)
    }

    /// Leaves the next `count` panels behind.
    #[inline(always)]
    pub fn advance(&mut self, count: usize) {
        self.panels.start += count;
        if self.panels.is_empty() {
            self.panels = take(&mut self.then);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_panel_has_its_turn_once_and_none_is_left_alone() {
        for panels in 1..40 {
            for begin in (0..8).map(|part| Begin::after(part, 8)).chain([Begin::FIRST]) {
                let mut way = begin.way(panels);
                let lengths = [way.panels.len(), way.then.len()];
                assert!(panels % 2 == 1 || !lengths.contains(&1), "{panels} {begin:?}");
                let mut gone = vec![];
                while !way.panels.is_empty() {
                    let count = way.panels.len().min(3);
                    gone.extend(way.panels.clone().take(count));
                    way.advance(count);
                }
                gone.sort_unstable();
                assert_eq!(gone, (0..panels).collect::<Vec<_>>(), "{begin:?}");
            }
        }
        assert_eq!(Begin::after(1, 2).way(9).panels, 4..9);
    }

    #[test]
    fn what_comes_after_the_last_panels_are_the_first() {
        let mut way = Begin::after(1, 2).way(8);
        let mut after = vec![];
        while !way.panels.is_empty() {
            after.push(way.after(2));
            way.advance(1);
        }
        assert_eq!(after, [6..8, 7..8, 0..2, 0..2, 2..4, 3..4, 0..0, 0..0]);
    }
}
