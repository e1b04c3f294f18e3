//! How many rows each class has.

use std::fmt;

use super::dataset::Dataset;

/// The classes of a data set with their numbers of rows; it prints as a table with bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassBalance {
    /// Name and rows of each class, in order.
    pub classes: Vec<(String, usize)>,
}

/// Characters of the bar of the largest class.
const BAR: usize = 30;

impl Dataset {
    /// Counts the rows of each class; none where the targets are values.
    ///
    /// # Examples
    /// ```
    /// let balance = unisono::datasets::iris().class_balance().unwrap();
    /// assert_eq!(balance.classes[0], ("setosa".to_owned(), 50));
    /// assert_eq!(balance.imbalance(), 1.0);
    /// ```
    pub fn class_balance(&self) -> Option<ClassBalance> {
        let name = |class: usize| match self.class_names() {
            Some(names) => names[class].clone(),
            None => class.to_string(),
        };
        let counts = self.class_counts()?.into_iter().enumerate();
        Some(ClassBalance { classes: counts.map(|(class, rows)| (name(class), rows)).collect() })
    }
}

impl ClassBalance {
    /// Rows of the largest class by those of the smallest: 1 where all are equal, infinite where one
    /// has none.
    pub fn imbalance(&self) -> f64 {
        let rows = || self.classes.iter().map(|class| class.1);
        rows().max().unwrap_or(0) as f64 / rows().min().unwrap_or(0) as f64
    }
}

impl fmt::Display for ClassBalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.classes.iter().map(|class| class.1).sum();
        let most = self.classes.iter().map(|class| class.1).max().unwrap_or(0).max(1);
        let name =
            self.classes.iter().map(|class| class.0.chars().count()).max().unwrap_or(0).max(5);
        write!(f, "{:name$}  {:>8}  {:>6}", "class", "rows", "share")?;
        for (class, count) in &self.classes {
            let share = 100.0 * *count as f64 / rows.max(1) as f64;
            let bar = "#".repeat((count * BAR).div_ceil(most));
            write!(f, "\n{class:name$}  {count:>8}  {share:>5.1}%  {bar}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_a_line_for_each_class() {
        let classes = vec![("a".to_owned(), 10), ("long name".to_owned(), 30)];
        let balance = ClassBalance { classes };
        let text = balance.to_string();
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("a                10   25.0%  ##########\n"), "{text}");
        assert_eq!(balance.imbalance(), 3.0);
    }
}
