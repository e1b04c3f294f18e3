//! Splits into train and test, plain and stratified, once or in folds.

use super::Dataset;
use super::permutation::permutation;
use crate::rng::{Purpose, Stream};
use crate::{Error, Result};

/// The steps that draw from a seed; each has its own streams.
#[derive(Clone, Copy)]
enum Step {
    Plain,
    WithinClass,
    Mix,
}

impl Dataset {
    /// Splits the rows at random into (train, test); `test_size` is the share of the test rows,
    /// of which there are `ceil(rows * test_size)` in f64: 8 of 100 by 0.07. The same seed gives the
    /// same split, and a seed below 2^32 that of scikit-learn's `train_test_split` with this
    /// `random_state`.
    ///
    /// # Errors
    /// If `test_size` is not between 0 and 1, or leaves no row to train on.
    ///
    /// # Examples
    /// ```
    /// let (train, test) = unisono::datasets::iris().split(0.2, 42)?;
    /// assert_eq!((train.rows(), test.rows()), (120, 30));
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn split(&self, test_size: f64, seed: u64) -> Result<(Dataset, Dataset)> {
        let test = share_of(self.rows(), test_size, "test_size")?;
        let rows = permutation(self.rows(), seed);
        Ok((self.select(&rows[test..])?, self.select(&rows[..test])?))
    }

    /// Splits as [`Dataset::split`] does, with each class in the same share on both sides, as
    /// closely as whole rows allow, and with at least one row on either side.
    ///
    /// # Errors
    /// As [`Dataset::split`]; also if the targets are values, a class that occurs has fewer than
    /// two rows, or a side has fewer rows than there are such classes.
    pub fn split_stratified(&self, test_size: f64, seed: u64) -> Result<(Dataset, Dataset)> {
        let test = share_of(self.rows(), test_size, "test_size")?;
        let classes = self.rows_by_class("split_stratified", 2, seed)?;
        for (side, rows) in [("test", test), ("train", self.rows() - test)] {
            if rows < classes.len() {
                return Err(Error::config(
                    "test_size",
                    format!(
                        "gives {rows} {side} rows, fewer than the {} classes: \
                         a stratified split needs a row of each on both sides",
                        classes.len()
                    ),
                ));
            }
        }
        let sizes: Vec<usize> = classes.iter().map(Vec::len).collect();
        let (mut train_rows, mut test_rows) = (Vec::new(), Vec::new());
        for (rows, test) in classes.iter().zip(stratify(&sizes, test)) {
            test_rows.extend_from_slice(&rows[..test]);
            train_rows.extend_from_slice(&rows[test..]);
        }
        let train = self.select(&shuffled(train_rows, seed, Step::Mix, 0))?;
        Ok((train, self.select(&shuffled(test_rows, seed, Step::Mix, 1))?))
    }

    /// Cuts the rows at random into `k` folds and goes through them as pairs (train, test), with the
    /// fold as test and the others as train. Fold sizes differ by at most one row.
    ///
    /// Each pair is a copy of the rows, made when it is asked for, so that a loop holds one at a time.
    ///
    /// # Errors
    /// If `k` is less than 2 or more than the rows.
    ///
    /// # Examples
    /// ```
    /// use unisono::{Activation, Adam, CrossEntropy, Sequential, TrainConfig};
    /// use unisono::{datasets, train_parallel};
    ///
    /// let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.05)).epochs(5);
    /// let mut accuracies = vec![];
    /// for (train, test) in datasets::iris().k_fold(5, 1)? {
    ///     let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
    ///     train_parallel(&mut model, &train, &config)?;
    ///     accuracies.extend(model.evaluate(&test)?.accuracy);
    /// }
    /// assert_eq!(accuracies.len(), 5);
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn k_fold(
        &self,
        k: usize,
        seed: u64,
    ) -> Result<impl ExactSizeIterator<Item = (Dataset, Dataset)>> {
        self.check_folds(k)?;
        let rows = shuffled((0..self.rows()).collect(), seed, Step::Plain, 0);
        let (size, larger) = (rows.len() / k, rows.len() % k);
        let start = move |f: usize| f * size + f.min(larger);
        Ok((0..k).map(move |f| {
            let test = start(f)..start(f + 1);
            let train = [&rows[..test.start], &rows[test.end..]].concat();
            (self.gather(&train), self.gather(&rows[test]))
        }))
    }

    /// Cuts as [`Dataset::k_fold`] does, with the rows of each class spread evenly over the folds.
    ///
    /// # Errors
    /// As [`Dataset::k_fold`]; also if the targets are values or a class that occurs has fewer than
    /// `k` rows.
    pub fn k_fold_stratified(
        &self,
        k: usize,
        seed: u64,
    ) -> Result<impl ExactSizeIterator<Item = (Dataset, Dataset)>> {
        self.check_folds(k)?;
        let dealt = self.rows_by_class("k_fold_stratified", k, seed)?.concat();
        let fold = move |f: usize, step: u64, keep: &dyn Fn(usize) -> bool| {
            let rows = dealt.iter().enumerate().filter(|(i, _)| keep(i % k)).map(|(_, &r)| r);
            self.gather(&shuffled(rows.collect(), seed, Step::Mix, 2 * f as u64 + step))
        };
        Ok((0..k).map(move |f| (fold(f, 0, &|of| of != f), fold(f, 1, &|of| of == f))))
    }

    fn check_folds(&self, k: usize) -> Result<()> {
        if k < 2 || k > self.rows() {
            let rows = self.rows();
            let problem = format!("is {k}: between 2 and the number of rows ({rows}) are possible");
            return Err(Error::config("k", problem));
        }
        Ok(())
    }

    /// The rows of each class that occurs, shuffled; every such class has `least` of them or more.
    fn rows_by_class(&self, what: &str, least: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
        let (Some(labels), Some(count)) = (self.labels(), self.classes()) else {
            return Err(self.needs_classes(what));
        };
        let mut classes = vec![Vec::new(); count];
        for (row, &label) in labels.iter().enumerate() {
            classes[label as usize].push(row);
        }
        let too_small = |rows: &Vec<usize>| !rows.is_empty() && rows.len() < least;
        if let Some(class) = classes.iter().position(too_small) {
            return Err(Error::Data(format!(
                "{what}: class {} has {} of the {least} rows it needs; leave the class out, or do \
                 not stratify",
                self.class_name(class),
                classes[class].len()
            )));
        }
        let occurring = classes.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        let shuffle = |(class, rows)| shuffled(rows, seed, Step::WithinClass, class as u64);
        Ok(occurring.map(shuffle).collect())
    }
}

fn shuffled(mut rows: Vec<usize>, seed: u64, step: Step, part: u64) -> Vec<usize> {
    Stream::new(seed, Purpose::Split, step as u64, part).shuffle(&mut rows);
    rows
}

/// How many rows a share of them is, or why it is none or all; the caller calls the share `field`.
pub(super) fn share_of(rows: usize, share: f64, field: &'static str) -> Result<usize> {
    if !(share > 0.0 && share < 1.0) {
        let problem = format!("is {share}: expected a share of the rows, between 0 and 1");
        return Err(Error::config(field, problem));
    }
    // As scikit-learn rounds: 100 * 0.07 is a little above 7 in f64, which makes 8.
    let taken = (rows as f64 * share).ceil() as usize;
    if taken == 0 || taken >= rows {
        let problem =
            format!("is {share}: of {rows} rows it would leave none on one of the two sides");
        return Err(Error::config(field, problem));
    }
    Ok(taken)
}

/// How many test rows each class gives: shares of `test` by its size, at least one and not all.
/// Every class has two rows or more; `test` and the rest are no fewer than the classes.
fn stratify(sizes: &[usize], test: usize) -> Vec<usize> {
    let mut parts = apportion(sizes, test);
    for (part, size) in parts.iter_mut().zip(sizes) {
        *part = (*part).clamp(1, size - 1);
    }
    let given: usize = parts.iter().sum();
    if given > test {
        let spare: Vec<usize> = parts.iter().map(|part| part - 1).collect();
        let cuts = apportion(&spare, given - test);
        parts.iter_mut().zip(cuts).for_each(|(part, cut)| *part -= cut);
    } else if given < test {
        let room: Vec<usize> =
            parts.iter().zip(sizes).map(|(part, size)| size - 1 - part).collect();
        let gifts = apportion(&room, test - given);
        parts.iter_mut().zip(gifts).for_each(|(part, gift)| *part += gift);
    }
    parts
}

/// Shares out `total`, at most the sum of the weights, in proportion to them by largest remainder;
/// no part exceeds its weight.
fn apportion(weights: &[usize], total: usize) -> Vec<usize> {
    let sum: u128 = weights.iter().map(|&w| w as u128).sum::<u128>().max(1);
    let quotas = weights.iter().map(|&w| w as u128 * total as u128);
    let (mut parts, remainders): (Vec<usize>, Vec<u128>) =
        quotas.map(|quota| ((quota / sum) as usize, quota % sum)).unzip();
    let left = total - parts.iter().sum::<usize>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(remainders[i]));
    order.iter().take(left).for_each(|&i| parts[i] += 1);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::datasets::iris;
    use ndarray::Array2;

    /// Rows that know their number, with the given labels.
    fn numbered(labels: &[u32]) -> Dataset {
        let features = Array2::from_shape_fn((labels.len(), 1), |(row, _)| row as f32);
        Dataset::classification(features, labels.to_vec()).unwrap()
    }

    fn sorted_rows(sides: &[&Dataset]) -> Vec<usize> {
        let all = sides.iter().flat_map(|side| side.features_slice());
        let mut rows: Vec<usize> = all.map(|&row| row as usize).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn sides_share_the_rows_out_without_loss() {
        let data = numbered(&[0; 37]);
        let (train, test) = data.split(0.25, 3).unwrap();
        assert_eq!((train.rows(), test.rows()), (27, 10));
        assert_eq!(sorted_rows(&[&train, &test]), (0..37).collect::<Vec<_>>());
    }

    #[test]
    fn the_seed_decides_the_split() {
        let split = |seed| iris().split(0.2, seed).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn test_rows_are_rounded_up_as_scikit_learn_rounds_them() {
        let test_rows = |rows, share| share_of(rows, share, "test_size");
        assert_eq!(test_rows(150, 0.2).unwrap(), 30);
        assert_eq!(test_rows(100, 0.29).unwrap(), 29);
        for (rows, share, test) in
            [(100, 0.07, 8), (100, 0.14, 15), (100, 0.28, 29), (50, 0.14, 8), (25, 0.28, 8)]
        {
            assert_eq!(test_rows(rows, share).unwrap(), test, "{rows} * {share}");
        }
        assert_eq!(test_rows(151, 0.2).unwrap(), 31);
        assert_eq!(test_rows(10, 1e-9).unwrap(), 1);
        assert!(test_rows(1, 0.2).is_err() && test_rows(4, 0.99).is_err());
    }

    #[test]
    fn a_stratified_split_keeps_the_shares() {
        let (train, test) = iris().split_stratified(0.2, 42).unwrap();
        assert_eq!(test.class_counts(), Some(vec![10, 10, 10]));
        assert_eq!(train.class_counts(), Some(vec![40, 40, 40]));
        assert!(!train.labels().unwrap().is_sorted(), "classes are mixed");
    }

    #[test]
    fn small_classes_are_on_both_sides() {
        assert_eq!(stratify(&[900, 100], 200), [180, 20]);
        assert_eq!(stratify(&[996, 2, 2], 100), [98, 1, 1]);
        assert_eq!(stratify(&[2, 2, 16], 17), [1, 1, 15]);
    }

    #[test]
    fn folds_are_disjoint_and_cover_every_row() {
        let data = numbered(&[0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
        let folds: [Vec<_>; 2] =
            [data.k_fold(3, 5).unwrap().collect(), data.k_fold_stratified(3, 5).unwrap().collect()];
        for folds in folds {
            let tests: Vec<&Dataset> = folds.iter().map(|(_, test)| test).collect();
            assert_eq!(sorted_rows(&tests), (0..11).collect::<Vec<_>>());
            for (train, test) in &folds {
                assert!(test.rows() == 3 || test.rows() == 4);
                assert_eq!(sorted_rows(&[train, test]), (0..11).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn stratified_folds_have_every_class_alike() {
        for (_, test) in iris().k_fold_stratified(5, 1).unwrap() {
            assert_eq!(test.class_counts(), Some(vec![10, 10, 10]));
        }
    }
}
