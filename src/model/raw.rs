//! Predictions for rows as people have them.

use ndarray::Array2;

use super::Sequential;
use crate::data::{Preprocessing, Table};
use crate::{Error, Result};

impl Sequential {
    /// Gives the model the preprocessing of its inputs: it then predicts for raw rows, and is saved
    /// with it.
    ///
    /// # Errors
    /// If it makes another number of features than the model has inputs, or more classes than it has
    /// outputs.
    ///
    /// # Examples
    /// ```
    /// use unisono::{Activation, Adam, CrossEntropy, Preprocessor, Sequential, Table, TrainConfig};
    /// use unisono::train_parallel;
    ///
    /// let table = Table::from_csv_text("size,kind\n1,small\n9,large\n2,small\n8,large\n")?;
    /// let fitted = Preprocessor::new().target("kind").fit(&table)?;
    /// let data = fitted.dataset(&table)?;
    /// let mut model = Sequential::builder(1).dense(2, Activation::Softmax).build(1)?;
    /// let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.1)).epochs(50);
    /// train_parallel(&mut model, &data, &config)?;
    /// model.set_preprocessing(fitted)?;
    /// let raw = Table::from_csv_text("size\n0.5\n12\n")?;
    /// assert_eq!(model.predict_labels(&raw)?, ["small", "large"]);
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn set_preprocessing(&mut self, preprocessing: Preprocessing) -> Result<()> {
        preprocessing.check(self.inputs(), self.outputs())?;
        self.preprocessing = Some(Box::new(preprocessing));
        Ok(())
    }

    /// The preprocessing of its inputs, if it was given one.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_deref()
    }

    /// Computes the outputs for the rows of a table: scores of classes, or values in the units of the
    /// table that it was fitted on.
    ///
    /// # Shapes
    /// Result: rows x outputs.
    ///
    /// # Errors
    /// If the model has no preprocessing, or the table does not fit it.
    pub fn predict_table(&self, table: &Table) -> Result<Array2<f32>> {
        let preprocessing = self.needed_preprocessing()?;
        let x = preprocessing.transform(table)?;
        Ok(preprocessing.restore(self.predict(x.view())?))
    }

    pub(crate) fn needed_preprocessing(&self) -> Result<&Preprocessing> {
        self.preprocessing().ok_or_else(|| {
            let problem = "the model has none: give it what was fitted by `set_preprocessing`";
            Error::config("preprocessing", problem)
        })
    }

    /// Predicts the classes of the rows of a table, by their names.
    ///
    /// # Errors
    /// As [`predict_table`](Self::predict_table), and if the model predicts values.
    pub fn predict_labels(&self, table: &Table) -> Result<Vec<String>> {
        let preprocessing = self.needed_preprocessing()?;
        let names = preprocessing.class_names().ok_or_else(|| {
            let problem = "the model's has no classes: `predict_table` gives its outputs";
            Error::config("preprocessing", problem)
        })?;
        let x = preprocessing.transform(table)?;
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
        Ok(self.predict_classes(x.view())?.into_iter().map(name).collect())
    }
}
