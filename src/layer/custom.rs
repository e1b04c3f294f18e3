//! The trait by which a user adds a layer.

use std::fmt;
use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::Result;
use crate::aligned::Aligned;
use crate::rng::Stream;
use crate::rows::{Rows, RowsMut};
use crate::simd::copy_rows;

/// A layer of your own. It holds its hyperparameters; its parameters are handed to it.
///
/// Every result row may depend on its own input row and the parameters alone: the trainer cuts a
/// batch into blocks of rows as it likes, and that is what keeps the bits the same on any number of
/// threads.
///
/// # Shapes
/// B rows of a block, I inputs, O outputs.
///
/// # Examples
/// A layer that scales each feature by a learned factor:
/// ```
/// use ndarray::{ArrayView2, ArrayViewMut2};
/// use unisono::{Layer, Result, rng::Stream};
///
/// #[derive(Debug)]
/// struct Scale;
///
/// impl Layer for Scale {
///     fn name(&self) -> String {
///         "scale".into()
///     }
///     fn outputs(&self, inputs: usize) -> Result<usize> {
///         Ok(inputs)
///     }
///     fn tensors(&self, inputs: usize) -> Vec<(String, Vec<usize>)> {
///         vec![("weight".into(), vec![inputs])]
///     }
///     fn init(&self, _: usize, params: &mut [f32], _: &mut Stream) {
///         params.fill(1.0);
///     }
///     fn forward(&self, params: &[f32], x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
///         for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
///             for i in 0..params.len() {
///                 y[i] = params[i] * x[i];
///             }
///         }
///     }
///     fn backward(&self, params: &[f32], _x: ArrayView2<f32>, _y: ArrayView2<f32>,
///                 dy: ArrayView2<f32>, mut dx: ArrayViewMut2<f32>) {
///         for (dy, mut dx) in dy.rows().into_iter().zip(dx.rows_mut()) {
///             for i in 0..params.len() {
///                 dx[i] = params[i] * dy[i];
///             }
///         }
///     }
///     fn param_grads(&self, _params: &[f32], x: ArrayView2<f32>, _y: ArrayView2<f32>,
///                    dy: ArrayView2<f32>, dparams: &mut [f32]) {
///         for (x, dy) in x.rows().into_iter().zip(dy.rows()) {
///             for i in 0..dparams.len() {
///                 dparams[i] += x[i] * dy[i];
///             }
///         }
///     }
/// }
/// ```
pub trait Layer: fmt::Debug + Send + Sync {
    /// Names the layer in summaries and errors.
    fn name(&self) -> String;

    /// Says how many output features it has for `inputs` input features.
    ///
    /// # Errors
    /// If it cannot take so many.
    fn outputs(&self, inputs: usize) -> Result<usize>;

    /// Names and shapes of its parameters, in the order in which they lie in `params`; none unless
    /// overridden.
    fn tensors(&self, inputs: usize) -> Vec<(String, Vec<usize>)> {
        let _ = inputs;
        vec![]
    }

    /// Draws the parameters; zeros unless overridden.
    fn init(&self, inputs: usize, params: &mut [f32], random: &mut Stream) {
        let _ = (inputs, random);
        params.fill(0.0);
    }

    /// Computes y (B x O) from x (B x I). `y` holds garbage at first.
    fn forward(&self, params: &[f32], x: ArrayView2<f32>, y: ArrayViewMut2<f32>);

    /// Computes dx (B x I), the loss's gradient by x, from dy (B x O). `dx` holds garbage at first.
    fn backward(
        &self,
        params: &[f32],
        x: ArrayView2<f32>,
        y: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        dx: ArrayViewMut2<f32>,
    );

    /// Adds the loss's gradient by the parameters, over the given rows in their order, to `dparams`.
    /// A layer with parameters must override it.
    fn param_grads(
        &self,
        params: &[f32],
        x: ArrayView2<f32>,
        y: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        dparams: &mut [f32],
    ) {
        let _ = (params, x, y, dy, dparams);
    }
}

/// The rows of a block as a user's layer sees them, one after the other: copies, of which the layers around it
/// change none.
#[derive(Debug, Default)]
pub(crate) struct OwnRows {
    x: Aligned,
    y: Aligned,
    dy: Aligned,
    dx: Aligned,
    /// Features in and out.
    shape: (usize, usize),
}

impl OwnRows {
    /// Computes y from x.
    pub fn forward(&mut self, layer: &dyn Layer, params: &[f32], x: Rows, mut y: RowsMut) {
        self.shape = (x.cols, y.cols);
        let x = copied(&mut self.x, x);
        layer.forward(params, x, view_mut(&mut self.y, y.rows, y.cols));
        copy_rows(&self.y, |r| r, &mut y);
    }

    /// Takes the loss's gradient by y.
    pub fn set_gradient(&mut self, dy: Rows) {
        copied(&mut self.dy, dy);
    }

    /// Computes the gradient by x.
    pub fn backward(&mut self, layer: &dyn Layer, params: &[f32], mut dx: RowsMut) {
        let (rows, (inputs, outputs)) = (dx.rows, self.shape);
        let x = view(&self.x, 0..rows, inputs);
        let y = view(&self.y, 0..rows, outputs);
        let dy = view(&self.dy, 0..rows, outputs);
        layer.backward(params, x, y, dy, view_mut(&mut self.dx, rows, inputs));
        copy_rows(&self.dx, |r| r, &mut dx);
    }

    /// Adds the gradient by the parameters over some of the rows.
    pub fn param_grads(
        &self,
        layer: &dyn Layer,
        params: &[f32],
        rows: Range<usize>,
        grads: &mut [f32],
    ) {
        let (inputs, outputs) = self.shape;
        let x = view(&self.x, rows.clone(), inputs);
        let y = view(&self.y, rows.clone(), outputs);
        let dy = view(&self.dy, rows, outputs);
        layer.param_grads(params, x, y, dy, grads);
    }
}

fn copied<'a>(to: &'a mut Aligned, rows: Rows) -> ArrayView2<'a, f32> {
    to.grow(rows.rows * rows.cols);
    rows.copy_to(to);
    view(to, 0..rows.rows, rows.cols)
}

fn view(values: &[f32], rows: Range<usize>, cols: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows.len(), cols), &values[rows.start * cols..rows.end * cols])
        .expect("so many values are so many rows")
}

fn view_mut(values: &mut Aligned, rows: usize, cols: usize) -> ArrayViewMut2<'_, f32> {
    values.grow(rows * cols);
    ArrayViewMut2::from_shape((rows, cols), &mut values[..rows * cols])
        .expect("so many values are so many rows")
}
