//! How units and what belongs to them are shared out.

use parking_lot::Mutex;

use super::Unit;
use crate::train::fork::Fork;
use crate::train::helpers::{End, Helpers};

/// The parts of the trainer's buffers that a run of units owns.
pub(crate) struct Part<'a, 't> {
    pub params: &'a mut [f32],
    /// Pieces of the transpose.
    pub pieces: &'a mut [&'t mut [f32]],
    pub slots: [&'a mut [f32]; 3],
    /// Gradients in memory; empty where they go straight into the update.
    pub grads: &'a mut [f32],
    /// The size of each unit's gradient.
    pub sizes: &'a mut [f64],
}

impl<'t> Part<'_, 't> {
    /// The same for a shorter time.
    pub fn reborrow(&mut self) -> Part<'_, 't> {
        let [a, b, c] = &mut self.slots;
        Part {
            params: self.params,
            pieces: self.pieces,
            slots: [a, b, c],
            grads: self.grads,
            sizes: self.sizes,
        }
    }

    /// The parts of the units before the one at `at` and of those from it on.
    fn split(self, units: &[Unit], at: usize) -> (Self, Self) {
        fn cut<T>(slice: &mut [T], at: usize) -> (&mut [T], &mut [T]) {
            let at = at.min(slice.len());
            slice.split_at_mut(at)
        }
        let params = units[at].params.start - units[0].params.start;
        let (p0, p1) = self.params.split_at_mut(params);
        let (t0, t1) = cut(self.pieces, units[at].pieces.start - units[0].pieces.start);
        let (g0, g1) = cut(self.grads, params);
        let (s0, s1) = self.sizes.split_at_mut(at);
        let [a, b, c] = self.slots.map(|slot| cut(slot, params));
        (
            Self { params: p0, pieces: t0, slots: [a.0, b.0, c.0], grads: g0, sizes: s0 },
            Self { params: p1, pieces: t1, slots: [a.1, b.1, c.1], grads: g1, sizes: s1 },
        )
    }
}

/// How units are shared out: down to runs that cost `grain`.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub grain: usize,
    pub fork: Fork,
    /// Where the calling thread is outside of the pool.
    pub helpers: Option<Helpers>,
}

/// Calls `f` with each unit and its part, in parallel.
pub(crate) fn each(units: &[Unit], part: Part, share: &Share, f: &(impl Fn(&Unit, Part) + Sync)) {
    let Some(helpers) = &share.helpers else {
        return each_forked(units, part, (share.grain, share.fork), f);
    };
    let unclaimed = Mutex::new(Unclaimed { units, cost: cost(units), part: Some(part) });
    helpers.share(units.len(), |end| {
        let claim = || unclaimed.lock().claim(end, (share.grain, helpers.workers));
        while let Some((units, part)) = claim() {
            each_in_turn(units, part, f);
        }
    });
}

/// Units that nobody has claimed, and what they cost.
struct Unclaimed<'u, 'a, 't> {
    units: &'u [Unit],
    cost: usize,
    part: Option<Part<'a, 't>>,
}

impl<'u, 'a, 't> Unclaimed<'u, 'a, 't> {
    /// Takes a run of units from one end: half of what is left for each worker, and at last as little as is worth it.
    fn claim(
        &mut self,
        end: End,
        (grain, workers): (usize, usize),
    ) -> Option<(&'u [Unit], Part<'a, 't>)> {
        let part = self.part.take()?;
        let (units, least) = (self.units, grain.max(self.cost / (2 * workers)).max(1));
        let mut claimed = 0;
        let mut missing = |unit: &&Unit| {
            let more = claimed < least;
            claimed += if more { unit.cost } else { 0 };
            more
        };
        let count = match end {
            End::Front => units.iter().take_while(&mut missing).count(),
            End::Back => units.iter().rev().take_while(&mut missing).count(),
        };
        self.cost -= claimed;
        if count == units.len() {
            return Some((units, part));
        }
        let at = if end == End::Front { count } else { units.len() - count };
        let ((front, back), (of_front, of_back)) = (units.split_at(at), part.split(units, at));
        match end {
            End::Front => {
                (self.units, self.part) = (back, Some(of_back));
                Some((front, of_front))
            }
            End::Back => {
                (self.units, self.part) = (front, Some(of_front));
                Some((back, of_back))
            }
        }
    }
}

fn cost(units: &[Unit]) -> usize {
    units.iter().map(|unit| unit.cost).sum()
}

fn each_forked(
    units: &[Unit],
    part: Part,
    (grain, fork): (usize, Fork),
    f: &(impl Fn(&Unit, Part) + Sync),
) {
    if fork.workers == 1 || units.len() < 2 || cost(units) <= grain {
        return each_in_turn(units, part, f);
    }
    let middle = middle(units);
    let (a, b) = part.split(units, middle);
    let (left, right) = units.split_at(middle);
    let share = (grain, fork);
    fork.join(|| each_forked(left, a, share, f), || each_forked(right, b, share, f));
}

/// Calls `f` with the runs of units that workers of a pool share out.
pub(crate) fn runs<'u>(units: &'u [Unit], grain: usize, f: &mut impl FnMut(&'u [Unit])) {
    if units.len() < 2 || cost(units) <= grain {
        return f(units);
    }
    let (left, right) = units.split_at(middle(units));
    runs(left, grain, f);
    runs(right, grain, f);
}

fn each_in_turn(mut units: &[Unit], mut part: Part, f: &impl Fn(&Unit, Part)) {
    while units.len() > 1 {
        let (first, rest) = part.split(units, 1);
        f(&units[0], first);
        (units, part) = (&units[1..], rest);
    }
    if let [unit] = units {
        f(unit, part);
    }
}

/// Where to cut units so that both sides cost about the same.
fn middle(units: &[Unit]) -> usize {
    let (mut left, cost) = (0, cost(units));
    let nearer = units.iter().take_while(|unit| {
        let before = left;
        left += unit.cost;
        before + left <= cost
    });
    nearer.count().clamp(1, units.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::pool::pool;

    /// Units of so many parameters each, which cost as much, with a piece of the transpose for each second one.
    fn units(lengths: &[usize]) -> Vec<Unit> {
        let (mut params, mut pieces) = (0..0, 0..0);
        let unit = |(index, &len): (usize, &usize)| {
            params = params.end..params.end + len;
            pieces = pieces.end..pieces.end + index % 2;
            Unit { op: 0, block: None, params: params.clone(), pieces: pieces.clone(), cost: len }
        };
        lengths.iter().enumerate().map(unit).collect()
    }

    /// Adds 1 to what belongs to each unit, after a look at its place.
    fn touch(lengths: &[usize], share: &Share) {
        let units = units(lengths);
        let len = lengths.iter().sum();
        let numbered = || (0..len).map(|i| i as f32).collect::<Vec<_>>();
        let [mut params, mut state, mut grads] = [numbered(), numbered(), numbered()];
        let mut transpose: Vec<f32> = (0..lengths.len() / 2).map(|i| i as f32).collect();
        let mut pieces: Vec<&mut [f32]> = transpose.chunks_mut(1).collect();
        let mut sizes = vec![0.0; lengths.len()];
        let part = Part {
            params: &mut params,
            pieces: &mut pieces,
            slots: [&mut state, &mut [], &mut []],
            grads: &mut grads,
            sizes: &mut sizes,
        };
        each(&units, part, share, &|unit, part| {
            let [state, ..] = part.slots;
            for values in [part.params, state, part.grads] {
                assert_eq!(values[0], unit.params.start as f32);
                assert_eq!(values.len(), unit.params.len());
                values.iter_mut().for_each(|value| *value += 1.0);
            }
            assert_eq!(part.pieces.len(), unit.pieces.len());
            part.pieces.iter_mut().for_each(|piece| piece[0] += 1.0);
            part.sizes[0] += 1.0;
        });
        let raised = |values: &[f32]| values.iter().enumerate().all(|(i, &v)| v == i as f32 + 1.0);
        assert!([&params, &state, &grads, &transpose].iter().all(|values| raised(values)));
        assert!(sizes.iter().all(|&size| size == 1.0));
    }

    #[test]
    fn every_unit_is_met_once_with_what_belongs_to_it() {
        let lengths: [&[usize]; 4] = [&[5], &[1, 9], &[7; 40], &[100, 1, 1, 1, 30, 2, 2, 50, 3]];
        for lengths in lengths {
            for workers in [1, 2, 3, 8] {
                let pool = pool(workers).unwrap();
                for grain in [0, 1, 20, usize::MAX] {
                    let fork = Fork::new(workers);
                    let forked = Share { grain, fork, helpers: None };
                    pool.install(|| touch(lengths, &forked));
                    let helpers = Some(Helpers { pool: pool.clone(), workers });
                    touch(lengths, &Share { helpers, ..forked });
                }
            }
        }
    }

    #[test]
    fn units_are_halved_at_the_nearest_place() {
        let of_784_128_10 = [vec![6656; 4], vec![6144; 12], vec![1280]].concat();
        for (lengths, expected) in [
            (&of_784_128_10[..], 8),
            (&[1, 9], 1),
            (&[9, 1], 1),
            (&[5, 3, 3], 1),
            (&[3, 3, 5], 2),
            (&[2, 2, 9, 1], 2),
        ] {
            assert_eq!(middle(&units(lengths)), expected, "{lengths:?}");
        }
    }

    #[test]
    fn claims_become_smaller_towards_the_end() {
        let units = units(&[1; 64]);
        let mut values = vec![0.0; 64];
        let part = Part {
            params: &mut values,
            pieces: &mut [],
            slots: [&mut [], &mut [], &mut []],
            grads: &mut [],
            sizes: &mut [0.0; 64],
        };
        let mut unclaimed = Unclaimed { units: &units, cost: 64, part: Some(part) };
        let mut places = vec![];
        for end in [End::Front, End::Back].into_iter().cycle() {
            let Some((units, part)) = unclaimed.claim(end, (2, 2)) else { break };
            assert_eq!(units.len(), part.params.len());
            places.push(units[0].params.start..units[0].params.start + units.len());
        }
        assert_eq!(places[..4], [0..16, 52..64, 16..25, 46..52]);
        assert!(places.iter().rev().skip(1).all(|place| place.len() >= 2));
        assert_eq!(places.iter().map(|place| place.len()).sum::<usize>(), 64);
    }
}
