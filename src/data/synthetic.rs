//! Made-up data of any size, the same on every machine.

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use super::Dataset;
use super::features::Features;
use super::targets::{self, Targets, zeros};
use crate::rng::{Purpose, Stream};
use crate::{Error, Result};

/// How far apart two clusters lie on average, in standard deviations of a cluster.
const CLUSTER_DISTANCE: f32 = 4.0;
/// Hidden units of the net that makes up regression targets.
const TEACHER_UNITS: usize = 16;
/// Standard deviation of the noise on regression targets.
const NOISE: f32 = 0.1;

/// What numbers are drawn for; each has streams of its own, one a row.
#[derive(Clone, Copy)]
enum Part {
    ClusterCentres,
    ClusterRows,
    TeacherInput,
    TeacherOutput,
    TeacherRows,
    TeacherNoise,
}

/// Makes up rows in Gaussian clusters, one cluster a class.
///
/// Row `r` is of class `r % classes`. The clusters have variance 1 and their centres are random,
/// about four standard deviations from each other: a model gets most rows right, but not all.
///
/// # Errors
/// If one of the sizes is 0, or the data do not fit into memory.
///
/// # Examples
/// ```
/// let data = unisono::datasets::synthetic_classification(1_000, 20, 4, 7)?;
/// assert_eq!(data.class_counts(), Some(vec![250; 4]));
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn synthetic_classification(
    rows: usize,
    features: usize,
    classes: usize,
    seed: u64,
) -> Result<Dataset> {
    check(&[("rows", rows), ("features", features), ("classes", classes)])?;
    let mut x = Features::zeros(rows, features)?;
    draw(x.values_mut(), features, 1.0, seed, Part::ClusterRows);
    let spread = CLUSTER_DISTANCE / (2.0 * features as f32).sqrt();
    let centres = normals(classes, features, spread, seed, Part::ClusterCentres)?;
    for (row, mut x) in x.view_mut().axis_iter_mut(Axis(0)).enumerate() {
        x += &centres.row(row % classes);
    }
    Dataset::of_features(x, targets::classes((0..rows).map(|row| row % classes), classes)?)
}

/// Makes up rows of normal features, and outputs that a small random net computes from them.
///
/// The net is `relu(x W) V + noise` with 16 hidden units and noise of standard deviation 0.1; the
/// outputs have about variance 1.
///
/// # Errors
/// If one of the sizes is 0, or the data do not fit into memory.
///
/// # Examples
/// ```
/// let data = unisono::datasets::synthetic_regression(1_000, 20, 2, 7)?;
/// assert_eq!(data.values().unwrap().dim(), (1_000, 2));
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn synthetic_regression(
    rows: usize,
    features: usize,
    outputs: usize,
    seed: u64,
) -> Result<Dataset> {
    check(&[("rows", rows), ("features", features), ("outputs", outputs)])?;
    let (into, out_of) = (1.0 / (features as f32).sqrt(), (2.0 / TEACHER_UNITS as f32).sqrt());
    let w = normals(features, TEACHER_UNITS, into, seed, Part::TeacherInput)?;
    let v = normals(TEACHER_UNITS, outputs, out_of, seed, Part::TeacherOutput)?;
    let mut x = Features::zeros(rows, features)?;
    draw(x.values_mut(), features, 1.0, seed, Part::TeacherRows);
    let mut y = normals(rows, outputs, NOISE, seed, Part::TeacherNoise)?;
    let x_rows = x.values().par_chunks(features);
    flat_mut(&mut y).par_chunks_mut(outputs).zip(x_rows).for_each(|(y, x)| {
        let mut hidden = [0.0; TEACHER_UNITS];
        add_product(&mut hidden, x, flat(&w));
        hidden.iter_mut().for_each(|h| *h = h.max(0.0));
        add_product(y, &hidden, flat(&v));
    });
    Dataset::of_features(x, Targets::Values(y))
}

/// Adds `x` times `weights` (in x out) to `y`, in the order of the inputs.
fn add_product(y: &mut [f32], x: &[f32], weights: &[f32]) {
    for (x, weights) in x.iter().zip(weights.chunks_exact(y.len())) {
        y.iter_mut().zip(weights).for_each(|(y, w)| *y += x * w);
    }
}

/// Draws a table of normal numbers, each row from a stream of its own.
fn normals(
    rows: usize,
    columns: usize,
    deviation: f32,
    seed: u64,
    part: Part,
) -> Result<Array2<f32>> {
    let mut table = zeros(rows, columns)?;
    draw(flat_mut(&mut table), columns, deviation, seed, part);
    Ok(table)
}

/// The same into rows of `columns` values.
fn draw(table: &mut [f32], columns: usize, deviation: f32, seed: u64, part: Part) {
    table.par_chunks_mut(columns).enumerate().for_each(|(row, values)| {
        let mut stream = Stream::new(seed, Purpose::Synthetic, part as u64, row as u64);
        values.iter_mut().for_each(|v| *v = stream.normal() * deviation);
    });
}

fn flat(table: &Array2<f32>) -> &[f32] {
    table.as_slice().expect("tables are made contiguous")
}

fn flat_mut(table: &mut Array2<f32>) -> &mut [f32] {
    table.as_slice_mut().expect("tables are made contiguous")
}

fn check(sizes: &[(&'static str, usize)]) -> Result<()> {
    for &(field, size) in sizes {
        if size == 0 || u32::try_from(size).is_err() {
            return Err(Error::config(field, format!("is {size}, not between 1 and 2^32 - 1")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_does_not_depend_on_how_many_there_are() {
        let (few, many) = [10, 1000].map(|n| synthetic_classification(n, 5, 3, 9).unwrap()).into();
        assert_eq!(few.features_slice(), &many.features_slice()[..50]);
        let (few, many) = [10, 1000].map(|n| synthetic_regression(n, 5, 3, 9).unwrap()).into();
        assert_eq!(
            few.values().unwrap(),
            many.select(&(0..10).collect::<Vec<_>>()).unwrap().values().unwrap()
        );
    }

    #[test]
    fn the_nearest_centre_tells_most_classes_but_not_all() {
        let data = synthetic_classification(3_000, 20, 3, 1).unwrap();
        let labels = data.labels().unwrap();
        let mut means = Array2::<f32>::zeros((3, 20));
        for (row, &label) in data.x().rows().into_iter().zip(labels) {
            means.row_mut(label as usize).scaled_add(1.0 / 1_000.0, &row);
        }
        let nearest = |row: ndarray::ArrayView1<f32>| {
            let distance = |class: usize| (&row - &means.row(class)).mapv(|d| d * d).sum();
            (0..3).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap()
        };
        let x = data.x();
        let rows = x.rows().into_iter().zip(labels);
        let right = rows.filter(|(row, label)| nearest(row.view()) == **label as usize).count();
        assert!((2_600..3_000).contains(&right), "{right} of 3000");
    }

    #[test]
    fn outputs_are_of_order_one_and_follow_the_features() {
        let data = synthetic_regression(2_000, 30, 2, 4).unwrap();
        for column in data.values().unwrap().columns() {
            let deviation = column.std(0.0);
            assert!((0.3..2.0).contains(&deviation), "{deviation}");
        }
        assert_ne!(data, synthetic_regression(2_000, 30, 2, 5).unwrap());
    }
}
