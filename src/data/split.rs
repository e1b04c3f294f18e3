//! Splits into train and test, and folds.

use super::{Dataset, Targets};
use crate::rng::{Purpose, Stream};
use crate::{Error, Result};

impl Dataset {
    /// Splits the rows at random into train and test; the test set gets `test_size` of them, rounded
    /// up.
    ///
    /// # Errors
    /// If `test_size` is not between 0 and 1, or a side would be empty.
    ///
    /// # Examples
    /// ```
    /// let (train, test) = unisono::datasets::iris().split(0.2, 42)?;
    /// assert_eq!((train.rows(), test.rows()), (120, 30));
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn split(&self, test_size: f64, seed: u64) -> Result<(Self, Self)> {
        let test = test_rows(self.rows(), test_size)?;
        let mut order: Vec<usize> = (0..self.rows()).collect();
        Stream::new(seed, Purpose::Split, 0, 0).shuffle(&mut order);
        let (test, train) = order.split_at(test);
        Ok((self.select(train)?, self.select(test)?))
    }

    /// Splits like [`split`](Self::split), and keeps the classes' shares on both sides as near as
    /// whole rows allow.
    ///
    /// # Errors
    /// As [`split`](Self::split), and if the targets are values or a class has a single row.
    pub fn split_stratified(&self, test_size: f64, seed: u64) -> Result<(Self, Self)> {
        let total = test_rows(self.rows(), test_size)?;
        let mut classes = self.rows_by_class(seed)?;
        if let Some(class) = classes.iter().position(|rows| rows.len() == 1) {
            return Err(Error::Data(format!(
                "class {class} has 1 row: a stratified split needs 2 or more of each; use `split`"
            )));
        }
        let quotas = quotas(&classes, total, self.rows());
        let (mut train, mut test) = (vec![], vec![]);
        for (rows, quota) in classes.iter_mut().zip(quotas) {
            train.extend(rows.split_off(quota));
            test.append(rows);
        }
        let mut stream = Stream::new(seed, Purpose::Split, 1, 0);
        stream.shuffle(&mut train);
        stream.shuffle(&mut test);
        Ok((self.select(&train)?, self.select(&test)?))
    }

    /// Cuts the rows at random into `k` folds; returns for each the rest (train) and itself (test).
    ///
    /// # Errors
    /// If `k` is below 2 or above the number of rows.
    pub fn k_fold(&self, k: usize, seed: u64) -> Result<Vec<(Self, Self)>> {
        self.check_folds(k)?;
        let mut order: Vec<usize> = (0..self.rows()).collect();
        Stream::new(seed, Purpose::Split, 2, 0).shuffle(&mut order);
        let fold = |position: usize| position * k / self.rows();
        self.folds(k, order.iter().enumerate().map(|(position, &row)| (fold(position), row)))
    }

    /// The same with the classes' shares kept in each fold.
    ///
    /// # Errors
    /// As [`k_fold`](Self::k_fold), and if the targets are values.
    pub fn k_fold_stratified(&self, k: usize, seed: u64) -> Result<Vec<(Self, Self)>> {
        self.check_folds(k)?;
        let order: Vec<usize> = self.rows_by_class(seed)?.concat();
        self.folds(k, order.iter().enumerate().map(|(position, &row)| (position % k, row)))
    }

    fn check_folds(&self, k: usize) -> Result<()> {
        if (2..=self.rows()).contains(&k) {
            return Ok(());
        }
        Err(Error::config("k", format!("expected 2 to {} folds, found {k}", self.rows())))
    }

    fn folds(
        &self,
        k: usize,
        assigned: impl Iterator<Item = (usize, usize)>,
    ) -> Result<Vec<(Self, Self)>> {
        let mut folds = vec![vec![]; k];
        for (fold, row) in assigned {
            folds[fold].push(row);
        }
        let pair = |test: usize| {
            let others = (0..k).filter(|&fold| fold != test);
            let train: Vec<usize> = others.flat_map(|fold| folds[fold].iter().copied()).collect();
            Ok((self.select(&train)?, self.select(&folds[test])?))
        };
        (0..k).map(pair).collect()
    }

    /// The rows of each class, each class in random order.
    fn rows_by_class(&self, seed: u64) -> Result<Vec<Vec<usize>>> {
        let Targets::Classes { labels, count } = self.targets() else {
            let problem = "a stratified split needs classes: the targets are values";
            return Err(Error::Data(problem.into()));
        };
        let mut classes = vec![vec![]; *count];
        for (row, &label) in labels.iter().enumerate() {
            classes[label as usize].push(row);
        }
        for (class, rows) in classes.iter_mut().enumerate() {
            Stream::new(seed, Purpose::Split, 3, class as u64).shuffle(rows);
        }
        Ok(classes)
    }
}

fn test_rows(rows: usize, test_size: f64) -> Result<usize> {
    if !(test_size > 0.0 && test_size < 1.0) {
        let problem = format!("expected a share above 0 and below 1, found {test_size}");
        return Err(Error::config("test_size", problem));
    }
    let exact = rows as f64 * test_size;
    let nearest = exact.round();
    let test = if (exact - nearest).abs() < 1e-9 * exact.max(1.0) { nearest } else { exact.ceil() };
    match test as usize {
        0 => Err(Error::config(
            "test_size",
            format!("{test_size} of {rows} rows leaves no test row"),
        )),
        test if test >= rows => Err(Error::config(
            "test_size",
            format!("{test_size} of {rows} rows leaves no train row"),
        )),
        test => Ok(test),
    }
}

/// How many of each class's rows go to a test set of `total` rows: the whole parts of the exact
/// shares, and one more for the largest remainders.
fn quotas(classes: &[Vec<usize>], total: usize, rows: usize) -> Vec<usize> {
    let mut quotas: Vec<usize> = classes.iter().map(|class| class.len() * total / rows).collect();
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(classes[class].len() * total % rows));
    let missing = total - quotas.iter().sum::<usize>();
    for &class in order.iter().take(missing) {
        quotas[class] += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn data(rows: usize) -> Dataset {
        let features = Array2::from_shape_fn((rows, 1), |(row, _)| row as f32);
        Dataset::classification(features, (0..rows).map(|row| row % 5 / 2).collect()).unwrap()
    }

    fn rows(data: &Dataset) -> Vec<usize> {
        data.x().iter().map(|&value| value as usize).collect()
    }

    fn assert_partition(parts: &[&Dataset], count: usize) {
        let mut all: Vec<usize> = parts.iter().flat_map(|part| rows(part)).collect();
        all.sort_unstable();
        assert_eq!(all, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn a_split_is_a_partition_that_the_seed_decides() {
        let data = data(101);
        let (train, test) = data.split(0.2, 1).unwrap();
        assert_eq!((train.rows(), test.rows()), (80, 21));
        assert_partition(&[&train, &test], 101);
        assert_eq!(rows(&test), rows(&data.split(0.2, 1).unwrap().1));
        assert_ne!(rows(&test), rows(&data.split(0.2, 2).unwrap().1));
    }

    #[test]
    fn a_stratified_split_keeps_the_shares() {
        let (train, test) = data(100).split_stratified(0.3, 7).unwrap();
        assert_partition(&[&train, &test], 100);
        assert_eq!(test.class_counts().unwrap(), [12, 12, 6]);
    }

    #[test]
    fn folds_are_disjoint_and_cover_all() {
        for folds in [data(23).k_fold(4, 3).unwrap(), data(23).k_fold_stratified(4, 3).unwrap()] {
            let tests: Vec<&Dataset> = folds.iter().map(|fold| &fold.1).collect();
            assert_partition(&tests, 23);
            for (train, test) in &folds {
                assert_partition(&[train, test], 23);
                assert!((5..=6).contains(&test.rows()));
            }
        }
    }

    #[test]
    fn senseless_sizes_are_named() {
        for size in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(data(10).split(size, 1).unwrap_err().to_string().contains("test_size"));
        }
        assert!(data(1).split(0.5, 1).is_err());
        assert!(data(10).k_fold(1, 1).is_err() && data(10).k_fold(11, 1).is_err());
    }
}
