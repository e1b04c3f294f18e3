//! Predictions for rows as people have them.

use ndarray::{Array2, ArrayView2};

use super::{Sequential, check_alike};
use crate::data::{Preprocessing, Table};
use crate::{Error, Result};

impl Sequential {
    /// Gives the model the preprocessing of its inputs, fitted on a table or a scaler: it then predicts
    /// for raw rows, and is saved with it.
    ///
    /// [`predict`](Self::predict), [`evaluate`](Self::evaluate) and training go on taking features that
    /// are prepared; raw rows are for [`predict_raw`](Self::predict_raw),
    /// [`predict_table`](Self::predict_table) and their kin.
    ///
    /// # Errors
    /// If it makes another number of features than the model has inputs, or more classes than it has
    /// outputs, or brings back another number of outputs, or a table's target by a scaler, or has a
    /// column or class in another place than the data that the model was trained on.
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
    pub fn set_preprocessing(&mut self, preprocessing: impl Into<Preprocessing>) -> Result<()> {
        let preprocessing = preprocessing.into();
        preprocessing.check(self.inputs(), self.outputs())?;
        let columns = preprocessing.feature_names();
        let names = [Some(columns.as_slice()), preprocessing.class_names()];
        self.check_places(names, "the preprocessing")?;
        self.preprocessing = Some(Box::new(preprocessing));
        Ok(())
    }

    /// The preprocessing of its inputs, if it was given one.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_deref()
    }

    /// Computes the outputs for raw rows of numbers: scores of classes, or values in the units of what
    /// the preprocessing was fitted on. NaN stands for what is missing in a table.
    ///
    /// # Shapes
    /// x: rows x columns before preprocessing; result: rows x outputs.
    ///
    /// # Errors
    /// If the model has no preprocessing, or the rows do not fit it.
    ///
    /// # Examples
    /// ```
    /// use unisono::{Activation, Adam, CrossEntropy, Sequential, StandardScaler, TrainConfig};
    /// use unisono::{datasets, train_parallel};
    ///
    /// let raw = datasets::iris();
    /// let scaler = StandardScaler::fit(&raw)?;
    /// let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
    /// let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.05));
    /// train_parallel(&mut model, &scaler.transform(&raw)?, &config)?;
    /// model.set_preprocessing(scaler)?;
    ///
    /// let back = Sequential::from_bytes(&model.to_bytes()?)?;
    /// assert_eq!(back.predict_raw(raw.x())?, model.predict_raw(raw.x())?);
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn predict_raw<'a>(&self, x: impl Into<ArrayView2<'a, f32>>) -> Result<Array2<f32>> {
        let preprocessing = self.needed_preprocessing()?;
        let x = preprocessing.transform_array(x.into())?;
        preprocessing.restore(self.predict(x.view())?)
    }

    /// Computes each raw row's class, as [`predict_classes`](Self::predict_classes) does for features.
    ///
    /// # Errors
    /// As [`predict_raw`](Self::predict_raw) and [`predict_classes`](Self::predict_classes).
    pub fn predict_raw_classes<'a>(&self, x: impl Into<ArrayView2<'a, f32>>) -> Result<Vec<usize>> {
        let x = self.needed_preprocessing()?.transform_array(x.into())?;
        self.predict_classes(x.view())
    }

    /// Computes the outputs for the rows of a table: scores of classes, or values in the units of the
    /// table that it was fitted on. With a scaler, the columns are those that the model's data were
    /// called by when it was trained.
    ///
    /// # Shapes
    /// Result: rows x outputs.
    ///
    /// # Errors
    /// If the model has no preprocessing, or the table does not fit it.
    pub fn predict_table(&self, table: &Table) -> Result<Array2<f32>> {
        let preprocessing = self.needed_preprocessing()?;
        let x = self.table_features(table)?;
        preprocessing.restore(self.predict(x.view())?)
    }

    /// Predicts the classes of the rows of a table, by their names.
    ///
    /// # Errors
    /// As [`predict_table`](Self::predict_table) and [`predict_classes`](Self::predict_classes), if the model predicts values, and if it was trained on classes of other names since it was
    /// given the preprocessing.
    pub fn predict_labels(&self, table: &Table) -> Result<Vec<String>> {
        let (fitted, trained) = (self.needed_preprocessing()?.class_names(), self.class_names());
        check_alike([None, trained], [None, fitted], "the preprocessing")?;
        let names = fitted.or(trained);
        let names = names.ok_or_else(|| {
            let problem = "the model knows no names of classes: `predict_table` gives its outputs";
            Error::config("preprocessing", problem)
        })?;
        let x = self.table_features(table)?;
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
        Ok(self.predict_classes(x.view())?.into_iter().map(name).collect())
    }

    fn table_features(&self, table: &Table) -> Result<Array2<f32>> {
        let preprocessing = self.needed_preprocessing()?;
        match (preprocessing.scaler(), self.feature_names()) {
            (Some(_), Some(names)) => preprocessing.transform_array(table.numbers(names)?.view()),
            _ => preprocessing.transform(table),
        }
    }

    pub(crate) fn needed_preprocessing(&self) -> Result<&Preprocessing> {
        self.preprocessing().ok_or_else(|| {
            let problem = "the model has none: give it what was fitted by `set_preprocessing`";
            Error::config("preprocessing", problem)
        })
    }
}
