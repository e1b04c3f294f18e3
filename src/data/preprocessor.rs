//! From tables of text to numbers: what is to be done, and fitting it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::cells::Cells;
use super::classes;
use super::csv::{double, is_missing, shown};
use super::preprocessing::{Column, Encoding, Preprocessing, Target, TargetEncoding};
use super::table::Table;
use crate::{Error, Result};

/// What a model is to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// Classes where the target is text, up to two whole numbers (`0.0` is one, too), or up to 20 of
    /// them that come five times on average; values otherwise. A target of many numbers with a few
    /// other texts in it is an error that names the first of these.
    #[default]
    Guess,
    /// One class out of several.
    Classification,
    /// A number.
    Regression,
}

/// What to do where a value is missing: an empty cell, `NA`, `?`, `null` and the like.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Missing {
    /// It is an error that names line and column.
    #[default]
    Error,
    /// Numbers get the mean of the fitted rows' others; a category is none of those known.
    Mean,
    /// Numbers get this one; a category is none of those known.
    Constant(f32),
}

/// What to do with a category that no fitted row had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// All its columns are zero.
    #[default]
    Zeros,
    /// It is an error that names line and column.
    Error,
}

/// Most distinct whole numbers of a target that is taken for classes.
const MOST_GUESSED_CLASSES: usize = 20;

/// Share of numbers from which a column of many is meant to hold nothing else.
const MEANT_AS_NUMBERS: f64 = 0.9;

/// Turns a [`Table`] into features and targets: numbers are standardised, text becomes one column a
/// category (one-hot, the most frequent first), the target classes or values.
///
/// A column of many numbers with a few other texts in it is an error that names the first of these: it
/// is a slip of the pen more often than categories, which it becomes when
/// [`categories`](Self::categories) names it.
///
/// [`fit`](Self::fit) learns means, categories and classes from some rows; the [`Preprocessing`] that
/// comes out applies them to any. Given to [`Sequential::set_preprocessing`](crate::Sequential), it is
/// saved with the model.
///
/// # Examples
/// ```
/// use unisono::{Missing, Preprocessor, Table};
///
/// let table = Table::from_csv_text("size,colour,kind\n1,red,a\n2,blue,b\n,red,a\n")?;
/// let fitted = Preprocessor::new().target("kind").missing(Missing::Mean).fit(&table)?;
/// let data = fitted.dataset(&table)?;
/// assert_eq!(data.feature_names().unwrap(), ["size", "colour=red", "colour=blue"]);
/// assert_eq!(data.class_names().unwrap(), ["a", "b"]);
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a preprocessor does nothing until it is fitted"]
pub struct Preprocessor {
    target: Option<String>,
    task: Task,
    class_names: Option<Vec<String>>,
    only: Option<Vec<String>>,
    without: Vec<String>,
    categories: Vec<String>,
    most_categories: Option<usize>,
    missing: Missing,
    unseen: Unseen,
}

fn owned<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

impl Preprocessor {
    /// All columns are features; missing values are errors, unseen categories zeros.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the column to predict.
    pub fn target(mut self, column: impl Into<String>) -> Self {
        self.target = Some(column.into());
        self
    }

    /// Says what the target is, instead of guessing; classes are those that occur, in sorted order, unless they were
    /// named.
    pub fn task(mut self, task: Task) -> Self {
        self.task = task;
        self.class_names = self.class_names.filter(|_| task == Task::Classification);
        self
    }

    /// Takes the target for classes of these names, numbered in this order; needed where the rows to be
    /// fitted may lack one, as when a rare class falls among the rows held out. A name may be one that
    /// otherwise stands for a missing value, such as `NA`.
    pub fn class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.class_names = Some(owned(names));
        self
    }

    /// Takes these columns alone as features.
    pub fn only<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.only = Some(owned(columns));
        self
    }

    /// Leaves these columns out.
    pub fn without<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.without = owned(columns);
        self
    }

    /// Takes these columns as categories although they hold numbers.
    pub fn categories<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.categories = owned(columns);
        self
    }

    /// Gives columns to the most frequent categories alone, 50 unless changed; the others count as
    /// unseen.
    pub fn most_categories(mut self, most: usize) -> Self {
        self.most_categories = Some(most);
        self
    }

    /// Says what to do where values are missing.
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// Says what to do with categories that no fitted row had.
    pub fn unseen(mut self, unseen: Unseen) -> Self {
        self.unseen = unseen;
        self
    }

    /// Learns means, categories and classes from the rows of a table.
    ///
    /// # Errors
    /// If a named column is not there, no feature is left, a value is missing or no number where there
    /// should be one, a class is none of those named, or there is one class alone; line and column are in it. Also if two
    /// features would have one name, as a column `a=b` and the category `b` of a column `a`.
    pub fn fit(&self, table: &Table) -> Result<Preprocessing> {
        if let Missing::Constant(value) = self.missing
            && !value.is_finite()
        {
            let problem = format!("expected a finite constant, found {value}");
            return Err(Error::config("missing", problem));
        }
        let only = self.only.iter().flatten();
        classes::each_once("only", only.map(Cow::from))?;
        for name in self.without.iter().chain(&self.categories).chain(&self.target) {
            table.cells(name)?;
        }
        let all = || table.columns().to_vec();
        let is_target = |name: &String| self.target.as_ref() == Some(name);
        let names = self.only.clone().unwrap_or_else(all);
        let names = names.iter().filter(|name| !self.without.contains(name) && !is_target(name));
        let columns =
            names.map(|name| self.column(table, name)).collect::<Result<Vec<Column>>>()?;
        if columns.is_empty() {
            let problem = "expected at least one column beside the target, found none";
            return Err(Error::config("columns", problem));
        }
        let target = self.target.as_ref().map(|name| self.fit_target(table, name)).transpose()?;
        let fitted = Preprocessing::of_table(columns, target);
        classes::each_once("features", fitted.feature_names().iter().map(Cow::from))?;
        Ok(fitted)
    }

    fn column(&self, table: &Table, name: &str) -> Result<Column> {
        let cells = table.cells(name)?;
        if self.missing == Missing::Error
            && let Some(row) = cells.iter().position(is_missing)
        {
            let problem = "the value is missing; fill it in, or choose `missing`";
            return Err(table.wrong(row, name, problem));
        }
        let known = cells.iter().filter(|cell| !is_missing(cell));
        let numbers: Option<Vec<f64>> = known.clone().map(|cell| double(cell).ok()).collect();
        let encoding = match numbers {
            Some(numbers) if !self.categories.iter().any(|it| it == name) => {
                let (mean, scale) = moments(&numbers);
                let missing = match self.missing {
                    Missing::Error => None,
                    Missing::Mean => Some(mean),
                    Missing::Constant(value) => Some(value.into()),
                };
                Encoding::Number { mean, scale, missing }
            }
            _ => {
                if !self.categories.iter().any(|it| it == name) {
                    refuse_slips(table, name, cells, "name the column in `categories`")?;
                }
                let mut values = by_frequency(known);
                values.truncate(self.most_categories.unwrap_or(50));
                let missing = self.missing != Missing::Error;
                Encoding::Category { values, unseen: self.unseen, missing }
            }
        };
        Ok(Column { name: name.to_owned(), encoding })
    }

    fn fit_target(&self, table: &Table, name: &str) -> Result<Target> {
        let encoding = match &self.class_names {
            Some(names) => named_classes(table, name, names)?,
            None => self.learned_target(table, name)?,
        };
        Ok(Target { name: name.to_owned(), encoding })
    }

    fn learned_target(&self, table: &Table, name: &str) -> Result<TargetEncoding> {
        let cells = table.cells(name)?;
        if let Some(row) = cells.iter().position(is_missing) {
            let problem = format!(
                "{}: the target is missing; leave the row out, or name the classes if it is one",
                shown(cells.get(row))
            );
            return Err(table.wrong(row, name, &problem));
        }
        let texts: HashSet<&str> = cells.iter().collect();
        let (names, _) = classes::numbered(&texts.into_iter().collect::<Vec<_>>());
        let classifies = match self.task {
            Task::Guess if names.iter().all(|name| double(name).is_ok()) => {
                count_as_classes(&names, table.rows())
            }
            Task::Guess => {
                refuse_slips(table, name, cells, "choose `Task::Classification`")?;
                true
            }
            task => task == Task::Classification,
        };
        if classifies {
            several(table, name, &names)?;
            return Ok(TargetEncoding::Classes { names });
        }
        let value = |(row, cell): (usize, &str)| {
            double(cell).map_err(|problem| {
                table.wrong(row, name, &format!("{problem}; regression needs numbers"))
            })
        };
        let values = cells.iter().enumerate().map(value).collect::<Result<Vec<f64>>>()?;
        let (mean, scale) = moments(&values);
        Ok(TargetEncoding::Values { mean, scale })
    }
}

/// Whether a target's distinct numbers are taken for classes: few whole ones that come often.
fn count_as_classes(names: &[String], rows: usize) -> bool {
    let often = names.len() <= 2 || names.len() * 5 <= rows;
    let few = names.len() <= MOST_GUESSED_CLASSES && often;
    few && names.iter().all(|name| classes::is_whole(name))
}

/// Refuses a single class: there is nothing to learn of it.
fn several(table: &Table, column: &str, names: &[String]) -> Result<()> {
    let [only] = names else { return Ok(()) };
    let problem = format!(
        "expected two classes or more, found {} alone: name others that may come by `class_names`, or choose \
         `Task::Regression` for values",
        shown(only)
    );
    Err(table.wrong(0, column, &problem))
}

/// Classes as they were named, which has to be all that occur, and each once.
fn named_classes(table: &Table, column: &str, names: &[String]) -> Result<TargetEncoding> {
    classes::each_once("class_names", names.iter().map(|name| classes::key(name)))?;
    several(table, column, names)?;
    let cells = table.cells(column)?;
    match cells.iter().enumerate().find(|(_, cell)| classes::position(names, cell).is_none()) {
        Some((row, cell)) => Err(table.wrong(row, column, &unknown(cell, names))),
        None => Ok(TargetEncoding::Classes { names: names.to_vec() }),
    }
}

/// Refuses a column that is all but a few of its cells numbers, and of too many values for categories;
/// `meant` says what to do if it is meant so.
fn refuse_slips(table: &Table, name: &str, cells: &Cells, meant: &str) -> Result<()> {
    let known = || cells.iter().enumerate().filter(|(_, cell)| !is_missing(cell));
    let numbers = known().filter(|(_, cell)| double(cell).is_ok());
    let distinct: HashSet<&str> = numbers.clone().map(|(_, cell)| cell).collect();
    let share = numbers.count() as f64 / known().count().max(1) as f64;
    if share < MEANT_AS_NUMBERS || distinct.len() <= MOST_GUESSED_CLASSES {
        return Ok(());
    }
    match known().find(|(_, cell)| double(cell).is_err()) {
        Some((row, cell)) => {
            let problem = format!(
                "{} is not a number, and most of the others are: mend it, or {meant}",
                shown(cell)
            );
            Err(table.wrong(row, name, &problem))
        }
        None => Ok(()),
    }
}

/// Mean and standard deviation; 0 and 1 of no values, a deviation of 1 of a constant.
fn moments(values: &[f64]) -> (f64, f64) {
    let Some(first) = values.first() else {
        return (0.0, 1.0);
    };
    let n = values.len() as f64;
    // Sums of differences round less than those of large numbers, and not at all where all are equal.
    let mean = first + values.iter().map(|v| v - first).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (v - mean).powi(2)).sum::<f64>() / n;
    let scale = variance.sqrt();
    (mean, if scale > 0.0 { scale } else { 1.0 })
}

/// Distinct texts, the most frequent first, of equals the one that comes first in the alphabet.
fn by_frequency<'t>(cells: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for cell in cells {
        *counts.entry(cell).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    counts.into_iter().map(|(text, _)| text.to_owned()).collect()
}

/// A category that is not known, as a message.
pub(super) fn unknown(cell: &str, known: &[String]) -> String {
    let known = super::csv::listed(known);
    format!("expected one of {known}, found {}", shown(cell))
}
