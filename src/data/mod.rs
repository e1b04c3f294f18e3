//! stub
use ndarray::Array2;
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    Classes { labels: Vec<u32>, count: usize },
    Values(Array2<f32>),
}
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    x: Array2<f32>,
    t: Targets,
}
impl Dataset {
    pub fn classification(x: Array2<f32>, l: Vec<u32>) -> crate::Result<Self> {
        let count = *l.iter().max().unwrap() as usize + 1;
        Ok(Self { x, t: Targets::Classes { labels: l, count } })
    }
    pub fn regression(x: Array2<f32>, v: Array2<f32>) -> crate::Result<Self> {
        Ok(Self { x, t: Targets::Values(v) })
    }
    pub fn rows(&self) -> usize {
        self.x.nrows()
    }
    pub fn features(&self) -> usize {
        self.x.ncols()
    }
    pub fn x(&self) -> ndarray::ArrayView2<'_, f32> {
        self.x.view()
    }
    pub fn targets(&self) -> &Targets {
        &self.t
    }
    pub fn classes(&self) -> Option<usize> {
        match &self.t {
            Targets::Classes { count, .. } => Some(*count),
            _ => None,
        }
    }
    pub(crate) fn features_slice(&self) -> &[f32] {
        self.x.as_slice().unwrap()
    }
}
pub mod datasets {
    use super::*;
    use crate::rng::*;
    pub fn synthetic_classification(
        rows: usize,
        features: usize,
        classes: usize,
        seed: u64,
    ) -> Dataset {
        let mut r = Stream::new(seed, Purpose::Synthetic, 0, 0);
        let centres: Vec<f32> = (0..classes * features).map(|_| r.normal()).collect();
        let labels: Vec<u32> = (0..rows).map(|_| r.below(classes as u32)).collect();
        let x = Array2::from_shape_fn((rows, features), |(i, j)| {
            centres[labels[i] as usize * features + j] + r.normal()
        });
        Dataset::classification(x, labels).unwrap()
    }
    pub fn synthetic_regression(
        rows: usize,
        features: usize,
        outputs: usize,
        seed: u64,
    ) -> Dataset {
        let mut r = Stream::new(seed, Purpose::Synthetic, 0, 0);
        let x = Array2::from_shape_fn((rows, features), |_| r.normal());
        let y = Array2::from_shape_fn((rows, outputs), |(i, j)| x[(i, j % features)] * 0.5);
        Dataset::regression(x, y).unwrap()
    }
    pub fn iris() -> Dataset {
        synthetic_classification(150, 4, 3, 1)
    }
}
