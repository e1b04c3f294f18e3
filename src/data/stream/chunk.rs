//! Rows on their way from a file to a batch.

use ndarray::Array2;

use crate::data::{Dataset, TargetShape, Targets};

/// Some rows: features, and labels or values, row after row.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub rows: usize,
    pub columns: usize,
    pub targets: TargetShape,
    pub features: Vec<f32>,
    pub labels: Vec<u32>,
    pub values: Vec<f32>,
}

impl Chunk {
    pub fn new(columns: usize, targets: TargetShape) -> Self {
        Self { rows: 0, columns, targets, features: vec![], labels: vec![], values: vec![] }
    }

    /// Forgets the rows and keeps the room.
    pub fn clear(&mut self) {
        self.rows = 0;
        self.features.clear();
        self.labels.clear();
        self.values.clear();
    }

    /// Appends a row of another chunk.
    pub fn push(&mut self, from: &Self, row: usize) {
        self.features.extend_from_slice(from.row(row));
        match self.targets {
            TargetShape::Classes(_) => self.labels.push(from.labels[row]),
            TargetShape::Values(_) => self.values.extend_from_slice(from.row_values(row)),
        }
        self.rows += 1;
    }

    /// Overwrites a row by one of another chunk.
    pub fn replace(&mut self, at: usize, from: &Self, row: usize) {
        let columns = self.columns;
        self.features[at * columns..(at + 1) * columns].copy_from_slice(from.row(row));
        match self.targets {
            TargetShape::Classes(_) => self.labels[at] = from.labels[row],
            TargetShape::Values(n) => {
                self.values[at * n..(at + 1) * n].copy_from_slice(from.row_values(row));
            }
        }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.columns..(row + 1) * self.columns]
    }

    fn row_values(&self, row: usize) -> &[f32] {
        let columns = self.targets.values();
        &self.values[row * columns..(row + 1) * columns]
    }

    /// The rows as a data set; they were checked as they were read.
    pub fn into_dataset(self) -> Dataset {
        let features = Array2::from_shape_vec((self.rows, self.columns), self.features);
        let targets = match self.targets {
            TargetShape::Classes(count) => Targets::Classes { labels: self.labels, count },
            TargetShape::Values(columns) => Targets::Values(
                Array2::from_shape_vec((self.rows, columns), self.values)
                    .expect("a chunk has values for each row"),
            ),
        };
        Dataset::of_checked(features.expect("a chunk has features for each row"), targets)
    }

    /// An empty chunk in the memory of a data set.
    pub fn recycled(data: Dataset) -> Self {
        let (features, targets) = data.into_parts();
        let columns = features.ncols();
        let vec = |array: Array2<f32>| array.into_raw_vec_and_offset().0;
        let mut chunk = match targets {
            Targets::Classes { labels, count } => {
                Self { labels, ..Self::new(columns, TargetShape::Classes(count)) }
            }
            Targets::Values(values) => {
                let shape = TargetShape::Values(values.ncols());
                Self { values: vec(values), ..Self::new(columns, shape) }
            }
        };
        chunk.features = vec(features);
        chunk.clear();
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::datasets::iris;

    #[test]
    fn memory_goes_round() {
        let mut chunk = Chunk::recycled(iris());
        assert_eq!((chunk.rows, chunk.columns, chunk.targets), (0, 4, TargetShape::Classes(3)));
        let memory = chunk.features.as_ptr();
        let mut source = Chunk::new(4, TargetShape::Classes(3));
        source.features.extend([1.0, 2.0, 3.0, 4.0]);
        source.labels.push(2);
        source.rows = 1;
        chunk.push(&source, 0);
        chunk.push(&source, 0);
        let data = chunk.into_dataset();
        assert_eq!((data.rows(), data.labels().unwrap()), (2, &[2, 2][..]));
        assert_eq!(Chunk::recycled(data).features.as_ptr(), memory);
    }
}
