//! Adds a layer of one's own: a gate that learns how much of each feature to let through.

use ndarray::{ArrayView2, ArrayViewMut2, Zip};
use unisono::rng::Stream;
use unisono::{Activation, Adam, CrossEntropy, Layer, MinMaxScaler, Sequential, TrainConfig};
use unisono::{datasets, train_parallel};

/// `y = x w / (1 + |w|)`, one weight a feature: the factor lies between -1 and 1.
#[derive(Debug)]
struct Gate;

impl Gate {
    fn factor(w: f32) -> f32 {
        w / (1.0 + w.abs())
    }
}

impl Layer for Gate {
    fn name(&self) -> String {
        "gate".into()
    }

    fn outputs(&self, inputs: usize) -> unisono::Result<usize> {
        Ok(inputs)
    }

    fn tensors(&self, inputs: usize) -> Vec<(String, Vec<usize>)> {
        vec![("weight".into(), vec![inputs])]
    }

    fn init(&self, _: usize, params: &mut [f32], _: &mut Stream) {
        params.fill(1.0);
    }

    fn forward(&self, params: &[f32], x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            Zip::from(&mut y).and(x).and(params).for_each(|y, &x, &w| *y = x * Self::factor(w));
        }
    }

    fn backward(
        &self,
        params: &[f32],
        _: ArrayView2<f32>,
        _: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        mut dx: ArrayViewMut2<f32>,
    ) {
        for (dy, mut dx) in dy.rows().into_iter().zip(dx.rows_mut()) {
            Zip::from(&mut dx).and(dy).and(params).for_each(|dx, &dy, &w| {
                *dx = dy * Self::factor(w);
            });
        }
    }

    /// The factor's derivative is `1 / (1 + |w|)^2`.
    fn param_grads(
        &self,
        params: &[f32],
        x: ArrayView2<f32>,
        _: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        dparams: &mut [f32],
    ) {
        for (x, dy) in x.rows().into_iter().zip(dy.rows()) {
            Zip::from(&mut *dparams).and(x).and(dy).and(params).for_each(|dw, &x, &dy, &w| {
                *dw += dy * x / ((1.0 + w.abs()) * (1.0 + w.abs()));
            });
        }
    }
}

fn main() -> unisono::Result<()> {
    let (train, test) = datasets::digits().split(0.2, 42)?;
    let scaler = MinMaxScaler::fit(&train)?;
    let (train, test) = (scaler.transform(&train)?, scaler.transform(&test)?);

    let model = Sequential::builder(train.features())
        .layer(Gate)
        .dense(32, Activation::Relu)
        .dense(10, Activation::Softmax)
        .build(7)?;
    println!("{model}\n");

    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.005)).epochs(30);
    for threads in [1, 2] {
        let mut model = model.clone();
        train_parallel(&mut model, &train, &config.clone().exact_threads(threads))?;
        let score = model.evaluate(&test)?;
        println!("{threads} thread(s): {score}  fingerprint {:016x}", model.fingerprint());
    }
    Ok(())
}
