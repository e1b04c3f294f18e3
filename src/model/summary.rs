//! The summary: a row a layer.

use std::fmt;

use super::Sequential;
use crate::layer::Placed;

impl fmt::Display for Sequential {
    /// Prints each layer with its output shape (B rows of a batch) and its number of parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |layer: &Placed| layer.to_string();
        let width = self.layers.iter().map(|l| name(l).chars().count()).max().unwrap_or(0).max(5);
        writeln!(f, " #  {:width$}  {:>10}  {:>12}", "layer", "output", "parameters")?;
        for (index, layer) in self.layers.iter().enumerate() {
            let shape = format!("(B, {})", layer.outputs);
            let params = layer.param_count();
            writeln!(f, "{index:2}  {:width$}  {shape:>10}  {params:>12}", name(layer))?;
        }
        write!(f, "{:>1$}", format!("total {}", self.param_count()), width + 30)
    }
}
