//! Preprocessing as a part of the graph: raw rows in, values in the target's units out.

use super::graph::{Builder, ML, integer, texts};
use crate::data::{Affine, Column, Encoding, Preprocessing, Scaler, TargetEncoding, Unseen};

impl Builder {
    /// Declares the inputs of raw rows and makes the model's features of them.
    pub fn raw_rows(&mut self, preprocessing: &Preprocessing) {
        if let Some(scaler) = preprocessing.scaler() {
            self.input("x", scaler.columns());
            self.scale(scaler);
            return;
        }
        let columns = &preprocessing.columns;
        let numbers = columns.iter().filter(|column| is_number(column)).count();
        let x = (numbers > 0).then(|| self.input("x", numbers));
        let (mut parts, mut taken) = (vec![], 0);
        // Columns of numbers that stand side by side go together.
        for run in columns.chunk_by(|a, b| is_number(a) && is_number(b)) {
            match (&x, &run[0].encoding) {
                (Some(x), Encoding::Number { .. }) => {
                    self.choose(x);
                    if run.len() < numbers {
                        self.columns(taken..taken + run.len());
                    }
                    taken += run.len();
                    parts.push(self.numbers(run));
                }
                (_, Encoding::Category { values, unseen, missing }) if !values.is_empty() => {
                    self.text_input(&format!("x.{}", run[0].name));
                    let zeros = *missing || *unseen == Unseen::Zeros;
                    parts.push(self.one_hot(values, zeros));
                }
                _ => {}
            }
        }
        match &parts[..] {
            [only] => self.choose(only),
            _ => {
                self.node("Concat", parts, vec![integer("axis", 1)]);
            }
        }
    }

    /// (x - mean) / scale, with what takes the place of missing values.
    fn numbers(&mut self, columns: &[Column]) -> String {
        let (mut means, mut scales, mut fills) = (vec![], vec![], vec![]);
        for column in columns {
            if let Encoding::Number { mean, scale, missing } = &column.encoding {
                means.push(*mean);
                scales.push(*scale);
                let fill = missing.map(|missing| (missing - mean) / scale);
                fills.push(fill.map_or(f32::NAN, |fill| fill as f32));
            }
        }
        let scaled = self.in_doubles(&[("Sub", means), ("Div", scales)]);
        if fills.iter().all(|fill| fill.is_nan()) {
            return scaled;
        }
        let fills = self.constant(&fills);
        let missing = self.unary("IsNaN", vec![]);
        self.node("Where", vec![missing, fills, scaled], vec![])
    }

    /// A column for each value, of an input of one text a row.
    fn one_hot(&mut self, values: &[String], zeros: bool) -> String {
        let attributes = vec![texts("cats_strings", values), integer("zeros", zeros.into())];
        self.node_of(ML, "OneHotEncoder", vec![self.newest()], attributes);
        // Rows x 1 x values.
        self.unary("Flatten", vec![integer("axis", 1)])
    }

    fn scale(&mut self, scaler: &Scaler) {
        let Affine { shift, divide, range } = scaler.affine();
        let mut steps = vec![("Sub", shift), ("Div", divide)];
        if let Some((low, high)) = range {
            steps.extend([("Mul", vec![high - low]), ("Add", vec![low])]);
        }
        self.in_doubles(&steps);
    }

    /// Brings outputs back to the target's units.
    pub fn restore(&mut self, preprocessing: &Preprocessing) {
        let target = preprocessing.target.as_ref().map(|target| &target.encoding);
        if let Some(TargetEncoding::Values { mean, scale }) = target {
            self.in_doubles(&[("Mul", vec![*scale]), ("Add", vec![*mean])]);
        }
        if let Some(scaler) = &preprocessing.target_scaler {
            let Affine { shift, divide, range } = scaler.affine();
            let mut steps = vec![("Mul", divide), ("Add", shift)];
            if let Some((low, high)) = range {
                steps.splice(0..0, [("Sub", vec![low]), ("Div", vec![high - low])]);
            }
            self.in_doubles(&steps);
        }
    }
}

fn is_number(column: &Column) -> bool {
    matches!(column.encoding, Encoding::Number { .. })
}
