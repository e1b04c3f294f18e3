//! Scalers fitted on a stream in one pass.

use super::DataStream;
use super::chunk::Chunk;
use crate::data::{MinMaxScaler, StandardScaler};
use crate::{Error, Result};

/// Mean and summed squared deviation of each column over the rows so far.
///
/// # Source
/// T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing
/// sample variances", 1979, equations 2.1; the parts are chunks of rows.
#[derive(Debug, Default)]
struct Moments {
    rows: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
    /// Of the chunk that is being added.
    shift: Vec<f64>,
    deviations: Vec<f64>,
}

impl Moments {
    fn add(&mut self, chunk: &Chunk) {
        let (columns, rows) = (chunk.columns, chunk.rows as f64);
        if self.rows == 0.0 {
            self.mean = chunk.features[..columns].iter().map(|&v| f64::from(v)).collect();
            self.squares = vec![0.0; columns];
        }
        // Differences from a value near the mean, which leave a constant column at exactly 0.
        self.shift.clear();
        self.shift.resize(columns, 0.0);
        for row in chunk.features.chunks_exact(columns) {
            for (shift, (&v, mean)) in self.shift.iter_mut().zip(row.iter().zip(&self.mean)) {
                *shift += f64::from(v) - mean;
            }
        }
        self.shift.iter_mut().for_each(|sum| *sum /= rows);
        self.deviations.clear();
        self.deviations.resize(columns, 0.0);
        for row in chunk.features.chunks_exact(columns) {
            let middle = self.mean.iter().zip(&self.shift);
            for (sum, (&v, (mean, shift))) in self.deviations.iter_mut().zip(row.iter().zip(middle))
            {
                let deviation = f64::from(v) - mean - shift;
                *sum += deviation * deviation;
            }
        }
        let all = self.rows + rows;
        for column in 0..columns {
            let shift = self.shift[column];
            self.squares[column] +=
                self.deviations[column] + shift * shift * self.rows * rows / all;
            self.mean[column] += shift * rows / all;
        }
        self.rows = all;
    }
}

impl DataStream {
    /// Hands all rows to `take`, in the files' order and unscaled.
    fn scan(&self, mut take: impl FnMut(&Chunk)) -> Result<()> {
        let raw = Self { scaler: None, ..self.clone() };
        let mut chunk = raw.empty_chunk();
        for file in 0..raw.files().len() {
            raw.read_file(file, &mut chunk, |chunk| {
                take(chunk);
                Ok::<(), Error>(())
            })?;
        }
        Ok(())
    }
}

impl StandardScaler {
    /// Learns mean and scale of each column of a stream's features as they stand in the files, in one
    /// pass over these.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn fit_stream(stream: &DataStream) -> Result<Self> {
        let mut moments = Moments::default();
        stream.scan(|chunk| moments.add(chunk))?;
        let scale = |squares: &f64| match (squares / moments.rows).sqrt() {
            0.0 => 1.0,
            scale => scale,
        };
        let scale = moments.squares.iter().map(scale).collect();
        Self::from_parts(moments.mean, scale)
    }
}

impl MinMaxScaler {
    /// Learns the ends of each column of a stream's features as they stand in the files, in one pass
    /// over these, to scale it to `low..=high`.
    ///
    /// # Errors
    /// If a file cannot be read, or the range is empty.
    pub fn fit_stream(stream: &DataStream, low: f32, high: f32) -> Result<Self> {
        let ends = |start: f32| vec![start; stream.features()];
        let (mut min, mut max) = (ends(f32::INFINITY), ends(f32::NEG_INFINITY));
        stream.scan(|chunk| {
            for row in chunk.features.chunks_exact(chunk.columns) {
                for (column, &v) in row.iter().enumerate() {
                    min[column] = min[column].min(v);
                    max[column] = max[column].max(v);
                }
            }
        })?;
        let both = [min, max].concat();
        let both = ndarray::ArrayView2::from_shape((2, stream.features()), &both);
        let both = both.map_err(|error| Error::Data(format!("scaler: {error}")))?;
        Self::fit_array(both, low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::CsvOptions;
    use crate::data::datasets::{digits, iris};

    fn stream(folder: &std::path::Path, data: &crate::Dataset) -> DataStream {
        let mut text = String::new();
        for (row, label) in data.x().outer_iter().zip(data.labels().unwrap()) {
            let row: Vec<_> = row.iter().map(f32::to_string).collect();
            text += &format!("{},{label}\n", row.join(","));
        }
        let path = folder.join("rows.csv");
        std::fs::write(&path, text).unwrap();
        DataStream::csv(path, &CsvOptions::default().header(false).classes()).unwrap()
    }

    #[test]
    fn one_pass_finds_what_two_find() {
        let folder = tempfile::tempdir().unwrap();
        for data in [iris(), digits()] {
            let stream = stream(folder.path(), &data);
            let found = StandardScaler::fit_stream(&stream).unwrap();
            let expected = StandardScaler::fit(&data).unwrap();
            let scale = found.scale().to_vec();
            for column in 0..data.features() {
                let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs();
                assert!(close(found.mean()[column], expected.mean()[column]), "column {column}");
                assert!(close(found.scale()[column], expected.scale()[column]), "column {column}");
            }
            // A scaler takes the place of one that the stream has: the files' values count.
            let stream = stream.scaled(found).unwrap();
            assert_eq!(StandardScaler::fit_stream(&stream).unwrap().scale(), scale);
            let found = MinMaxScaler::fit_stream(&stream, 0.0, 1.0).unwrap();
            assert_eq!(found, MinMaxScaler::fit(&data).unwrap());
        }
    }

    #[test]
    fn a_large_offset_costs_no_digits() {
        let (count, offset) = (10_000_u16, 1e6_f32);
        let mut moments = Moments::default();
        let shape = crate::data::TargetShape::Classes(1);
        let value = |row: u16| offset + f32::from(row % 7);
        for rows in (0..count).collect::<Vec<_>>().chunks(97) {
            let mut chunk = Chunk::new(2, shape);
            for &row in rows {
                chunk.features.extend([value(row), offset]);
                chunk.rows += 1;
            }
            moments.add(&chunk);
        }
        let mean = (0..count).map(|row| f64::from(row % 7)).sum::<f64>() / f64::from(count);
        let squares: f64 = (0..count).map(|row| (f64::from(row % 7) - mean).powi(2)).sum();
        assert!((moments.mean[0] - f64::from(offset) - mean).abs() < 1e-8);
        assert!((moments.squares[0] / squares - 1.0).abs() < 1e-12);
        assert_eq!((moments.mean[1], moments.squares[1]), (f64::from(offset), 0.0));
    }
}
