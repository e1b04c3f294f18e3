//! Whether a loss, a model's outputs and a data set's targets fit together.

use ndarray::ArrayView2;

use super::{BinaryCrossEntropy, CrossEntropy, Loss};
use crate::data::TargetShape;
use crate::{Error, Result};

impl Loss {
    /// Checks the loss's own fields and that the targets fit the model's outputs.
    pub(crate) fn check(&self, targets: TargetShape, outputs: usize) -> Result<()> {
        match (self, targets) {
            (Self::CrossEntropy(loss), _) => check_cross_entropy(loss, targets, outputs),
            (Self::BinaryCrossEntropy(loss), _) => check_binary(loss, targets, outputs),
            (Self::Huber(loss), _) if !(loss.delta > 0.0 && loss.delta.is_finite()) => {
                let problem = format!("of huber: expected a number above 0, found {}", loss.delta);
                Err(Error::config("delta", problem))
            }
            (_, TargetShape::Values(columns)) => check_columns(columns, outputs),
            (_, TargetShape::Classes(_)) => Err(Error::config(
                "loss",
                format!(
                    "{self} needs values as targets, found classes; use cross-entropy, or turn the \
                     classes into values by one_hot()"
                ),
            )),
        }
    }

    /// Checks target values: within 0..=1 for the cross-entropies.
    pub(crate) fn check_values(&self, values: ArrayView2<'_, f32>) -> Result<()> {
        if !matches!(self, Self::CrossEntropy(_) | Self::BinaryCrossEntropy(_)) {
            return Ok(());
        }
        match values.indexed_iter().find(|(_, v)| !(0.0..=1.0).contains(*v)) {
            None => Ok(()),
            Some(((row, col), v)) => {
                let what = format!("target in row {row}, column {col} for {self}");
                Err(Error::shape(what, "a probability in 0..=1", v))
            }
        }
    }
}

fn check_columns(columns: usize, outputs: usize) -> Result<()> {
    if columns == outputs {
        return Ok(());
    }
    Err(Error::shape("columns of the targets", format!("{outputs}, the model's outputs"), columns))
}

fn check_weights(field: &'static str, weights: Option<&[f32]>, allowed: &[usize]) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    if !allowed.contains(&weights.len()) {
        let lengths: Vec<_> = allowed.iter().map(usize::to_string).collect();
        let (lengths, found) = (lengths.join(" or "), weights.len());
        let problem = format!("has the wrong length: expected {lengths}, found {found}");
        return Err(Error::config(field, problem));
    }
    match weights.iter().position(|w| !(*w > 0.0 && w.is_finite())) {
        None => Ok(()),
        Some(i) => {
            let problem = format!("at {i}: expected a number above 0, found {}", weights[i]);
            Err(Error::config(field, problem))
        }
    }
}

fn check_cross_entropy(loss: &CrossEntropy, targets: TargetShape, outputs: usize) -> Result<()> {
    if !(0.0..=1.0).contains(&loss.label_smoothing) {
        let problem = format!("expected a share in 0..=1, found {}", loss.label_smoothing);
        return Err(Error::config("label_smoothing", problem));
    }
    check_weights("class_weights", loss.class_weights.as_deref(), &[outputs])?;
    match targets {
        TargetShape::Values(1) if outputs == 1 => Err(Error::shape(
            "outputs of the model for cross-entropy",
            "2 or more (or use binary-cross-entropy)",
            1,
        )),
        TargetShape::Values(columns) => check_columns(columns, outputs),
        TargetShape::Classes(classes) if classes.max(2) <= outputs => Ok(()),
        TargetShape::Classes(classes) => Err(Error::shape(
            "outputs of the model for cross-entropy",
            format!("{} or more, one for each class", classes.max(2)),
            outputs,
        )),
    }
}

fn check_binary(loss: &BinaryCrossEntropy, targets: TargetShape, outputs: usize) -> Result<()> {
    check_weights("pos_weight", loss.pos_weight.as_deref(), &[1, outputs])?;
    match targets {
        TargetShape::Values(columns) => check_columns(columns, outputs),
        TargetShape::Classes(_) if outputs != 1 => Err(Error::shape(
            "outputs of the model for binary-cross-entropy with classes",
            "1 (or use cross-entropy, or one_hot() targets)",
            outputs,
        )),
        TargetShape::Classes(classes) if classes > 2 => Err(Error::shape(
            "classes of the targets for binary-cross-entropy",
            "2 (or use cross-entropy)",
            classes,
        )),
        TargetShape::Classes(_) => Ok(()),
    }
}
