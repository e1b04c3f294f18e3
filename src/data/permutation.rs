//! The random order of rows that NumPy and scikit-learn draw from a seed, so that a split here has
//! the very rows of `train_test_split(..., random_state=seed)`.

use rand_mt::Mt;

/// Permutes `0..n` as `numpy.random.RandomState(seed).permutation(n)` does. Seeds of 2^32 and more,
/// which NumPy does not take, key the generator with both their halves.
///
/// # Source
/// M. Matsumoto and T. Nishimura, "Mersenne twister", 1998; R. Durstenfeld, "Algorithm 235: random
/// permutation", 1964.
pub(super) fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut twister = match u32::try_from(seed) {
        Ok(seed) => Mt::new(seed),
        Err(_) => Mt::new_with_key([seed as u32, (seed >> 32) as u32]),
    };
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        let mask = last.next_power_of_two() * 2 - 1;
        let mask = if last.is_power_of_two() { mask } else { mask >> 1 };
        let other = loop {
            let draw = twister.next_u32() as usize & mask;
            if draw <= last {
                break draw;
            }
        };
        order.swap(last, other);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_numpy_s() {
        assert_eq!(permutation(10, 42), [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]);
        assert_eq!(permutation(150, 42)[..8], [73, 18, 118, 78, 76, 31, 64, 141]);
        assert_eq!(permutation(5, 7), [0, 3, 2, 1, 4]);
    }

    #[test]
    fn large_seeds_differ_in_both_halves() {
        let large = permutation(100, 1 << 32);
        assert!(large != permutation(100, 0) && large != permutation(100, (1 << 32) + 1));
    }
}
