//! Predictions: rows in chunks, chunks on all cores.

use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Array2, ArrayView2, CowArray, Ix2};

use super::Sequential;
use super::chunks::{Workers, each_chunk, height, worth};
use crate::layer::{Kind, Placed};
use crate::simd::product::Begin;
use crate::train::{Block, Pass, Plan};
use crate::{Activation, Error, Result};

impl Sequential {
    /// Computes the model's outputs, on all cores.
    ///
    /// # Shapes
    /// x: rows x inputs; result: rows x outputs.
    ///
    /// # Errors
    /// If x has another number of columns than the model has inputs, or a value that is not finite.
    ///
    /// # Examples
    /// ```
    /// use ndarray::array;
    /// use unisono::{Activation, Sequential};
    ///
    /// let model = Sequential::builder(2).dense(3, Activation::Softmax).build(7)?;
    /// let y = model.predict(&array![[0.5, 1.0], [2.0, -1.0]])?;
    /// assert_eq!(y.dim(), (2, 3));
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn predict<'a>(&self, x: impl Into<ArrayView2<'a, f32>>) -> Result<Array2<f32>> {
        let x = x.into();
        self.predict_on(x, worth(self.flops_per_row() / 3 * x.nrows()))
    }

    /// The same on so many threads; one is the caller's.
    pub(crate) fn predict_on(&self, x: ArrayView2<f32>, workers: usize) -> Result<Array2<f32>> {
        self.check_inputs(x.ncols())?;
        let x = x.as_standard_layout();
        let features = x.as_slice().expect("a standard layout is one slice");
        let mut y = Array2::zeros((x.nrows(), self.outputs()));
        let columns = self.outputs();
        let out = y.as_slice_mut().expect("a new array is one slice");
        let height = height(x.nrows(), workers);
        let forward = Forward::new(self, self.layers.len(), x.nrows().min(height));
        let finite = AtomicBool::new(true);
        let chunks = out.chunks_mut(height * columns).enumerate();
        each_chunk(chunks, Workers { count: workers, leaves: false }, |block, (index, out)| {
            let rows = out.len() / columns;
            let from = &features[index * height * self.inputs()..][..rows * self.inputs()];
            if !from.iter().fold(true, |finite, v| finite & v.is_finite()) {
                finite.store(false, Ordering::Relaxed);
                return;
            }
            forward.run(block, from, rows);
            block.output(&forward.plan).copy_to(out);
        })?;
        if finite.into_inner() { Ok(y) } else { Err(not_finite(&x)) }
    }

    /// Computes each row's class: the largest output, the first of equals; for a model with one
    /// output, class 1 where it is above a half (behind a sigmoid) or above zero (a logit).
    ///
    /// # Errors
    /// As [`predict`](Self::predict), and if an output is not finite.
    pub fn predict_classes<'a>(&self, x: impl Into<ArrayView2<'a, f32>>) -> Result<Vec<usize>> {
        let threshold = match self.ending().1 {
            Activation::Sigmoid => 0.5,
            // Of one class, the only one.
            Activation::Softmax => 1.0,
            _ => 0.0,
        };
        let class = |row: &[f32]| match row {
            [only] => usize::from(*only > threshold),
            row => (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }),
        };
        let y = self.predict(x)?;
        let y = y.as_slice().expect("a new array is one slice");
        if let Some(at) = y.iter().position(|value| !value.is_finite()) {
            let row = at / self.outputs();
            let problem = format!("row {row}: its outputs overflow an f32: check the data's scale");
            return Err(Error::Data(problem));
        }
        Ok(y.chunks_exact(self.outputs()).map(class).collect())
    }

    pub(crate) fn check_inputs(&self, found: usize) -> Result<()> {
        if found == self.inputs() {
            return Ok(());
        }
        Err(Error::shape("features of the data (the model's inputs)", self.inputs(), found))
    }

    /// Floating-point operations of the products of one row's training step.
    pub(crate) fn flops_per_row(&self) -> usize {
        let mut first = true;
        let flops = |layer: &Placed| match layer.kind {
            Kind::Dense(_) => {
                let product = 2 * layer.inputs * layer.outputs;
                if std::mem::take(&mut first) { 2 * product } else { 3 * product }
            }
            _ => 0,
        };
        self.layers.iter().map(flops).sum()
    }
}

/// Says which is the first value that is not finite.
fn not_finite(x: &CowArray<f32, Ix2>) -> Error {
    let first = x.indexed_iter().find(|(_, v)| !v.is_finite());
    let place = first.map_or_else(String::new, |((row, column), value)| {
        format!("row {row}, column {column}: expected a finite value, found {value}")
    });
    Error::Data(place)
}

/// The model in use: its layers forward, without dropout.
pub(super) struct Forward<'a> {
    pub model: &'a Sequential,
    pub plan: Plan,
    /// Rows of the largest chunk.
    pub most: usize,
}

impl<'a> Forward<'a> {
    /// The first `count` layers, for chunks of up to `most` rows.
    pub fn new(model: &'a Sequential, count: usize, most: usize) -> Self {
        Self { model, plan: Plan::new(&model.layers, count, false), most }
    }

    pub fn pass(&self) -> Pass<'_> {
        Pass {
            layers: &self.model.layers,
            plan: &self.plan,
            params: &self.model.params,
            transpose: &[],
            seed: 0,
            epoch: 0,
            bound: false,
            begin: Begin::FIRST,
        }
    }

    /// Runs `rows` rows, which lie one after the other in `features`.
    pub fn run(&self, block: &mut Block, features: &[f32], rows: usize) {
        block.reserve(&self.plan, self.most, None, false);
        block.load(features, self.model.inputs(), rows);
        block.forward(&self.pass(), 0, None);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Axis;

    use crate::{Activation, Sequential, datasets};

    #[test]
    fn how_rows_are_cut_changes_no_bit() {
        let data = datasets::synthetic_classification(700, 40, 3, 1).unwrap();
        let builder = Sequential::builder(40).dense(33, Activation::Gelu);
        let model = builder.dense(3, Activation::Softmax).build(1).unwrap();
        for rows in [1, 47, 95, 100, 193, 700] {
            let x = data.x().split_at(Axis(0), rows).0;
            let alone = model.predict_on(x, 1).unwrap();
            for workers in [2, 3, 4, 7, 16] {
                let y = model.predict_on(x, workers).unwrap();
                assert!(y == alone, "{rows} rows, {workers} workers");
            }
        }
    }
}
