//! Made-up data sets of any size, the same on every machine.

use ndarray::Array2;

use super::Dataset;
use crate::rng::{Purpose, Stream};

/// Deviation of a regression's noise, next to teacher outputs of deviation about 1.
const NOISE: f32 = 0.1;

/// Makes a cloud of normally distributed rows around a random centre for each class.
///
/// # Panics
/// If a size is 0, or there are 2^32 rows or classes or more.
pub fn synthetic_classification(
    rows: usize,
    features: usize,
    classes: usize,
    seed: u64,
) -> Dataset {
    assert!(rows > 0 && features > 0 && classes > 0, "a data set needs rows, features and classes");
    let classes = u32::try_from(classes).expect("fewer than 2^32 classes");
    let mut centres = Stream::new(seed, Purpose::Synthetic, 1, 0);
    let centres: Vec<f32> = (0..classes as usize * features).map(|_| centres.normal()).collect();
    let mut labels = Vec::with_capacity(rows);
    let mut x = Vec::with_capacity(rows * features);
    for row in 0..rows as u64 {
        let mut stream = Stream::new(seed, Purpose::Synthetic, 0, row);
        let label = stream.below(classes) as usize;
        labels.push(label);
        let centre = &centres[label * features..(label + 1) * features];
        x.extend(centre.iter().map(|centre| centre + stream.normal()));
    }
    let x = Array2::from_shape_vec((rows, features), x).expect("as many values as rows x features");
    Dataset::classification_with(x, labels, classes as usize).expect("made to be valid")
}

/// Makes normally distributed rows, and for each the outputs of a random linear teacher with a kink
/// (the positive part counts double), with a little noise.
///
/// # Panics
/// If a size is 0, or there are 2^32 rows or more.
pub fn synthetic_regression(rows: usize, features: usize, outputs: usize, seed: u64) -> Dataset {
    assert!(rows > 0 && features > 0 && outputs > 0, "a data set needs rows, features and outputs");
    let mut teacher = Stream::new(seed, Purpose::Synthetic, 1, 0);
    let scale = 1.0 / (features as f32).sqrt();
    let teacher: Vec<f32> = (0..outputs * features).map(|_| teacher.normal() * scale).collect();
    let mut x = Vec::with_capacity(rows * features);
    let mut y = Vec::with_capacity(rows * outputs);
    for row in 0..rows as u64 {
        let mut stream = Stream::new(seed, Purpose::Synthetic, 0, row);
        let start = x.len();
        x.extend((0..features).map(|_| stream.normal()));
        for weights in teacher.chunks_exact(features) {
            let sum: f32 = weights.iter().zip(&x[start..]).map(|(w, x)| w * x).sum();
            y.push(sum + sum.max(0.0) + NOISE * stream.normal());
        }
    }
    let x = Array2::from_shape_vec((rows, features), x).expect("as many values as rows x features");
    let y = Array2::from_shape_vec((rows, outputs), y).expect("as many values as rows x outputs");
    Dataset::regression(x, y).expect("made to be valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_does_not_depend_on_how_many_there_are() {
        let (few, many) =
            (synthetic_classification(3, 4, 5, 1), synthetic_classification(9, 4, 5, 1));
        assert_eq!(few, many.select(&[0, 1, 2]).unwrap());
        let (few, many) = (synthetic_regression(3, 4, 2, 1), synthetic_regression(9, 4, 2, 1));
        assert_eq!(few, many.select(&[0, 1, 2]).unwrap());
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(synthetic_regression(3, 4, 2, 1), synthetic_regression(3, 4, 2, 2));
    }
}
