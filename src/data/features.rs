//! The features of a data set in memory.

use std::fmt;

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::targets::too_large;
use crate::Result;
use crate::aligned::Aligned;
use crate::simd::{dispatch, largest};

/// Features, rows x columns, row after row without gaps. A user's array stays where it is, if it has that layout: to move
/// 188 MB took 55 to 400 ms. What the crate writes itself lies in large pages if it is large and the system has them: a
/// step gathers rows from all over it, and looks up a page for each. 784-128-10 on 60,000 rows trained 1.015 to 1.034
/// times as fast by it, nets of more arithmetic 1.00 to 1.02 times (Zen 4).
pub(super) struct Features {
    memory: Memory,
    rows: usize,
    columns: usize,
}

enum Memory {
    Array(Array2<f32>),
    Own(Aligned),
}

impl Features {
    /// Those of an array, in its memory if its rows follow each other.
    pub fn new(array: Array2<f32>) -> Self {
        if !array.is_standard_layout() {
            return Self::copied(array.view());
        }
        let (rows, columns) = array.dim();
        Self { memory: Memory::Array(array), rows, columns }
    }

    /// Zeros to write others over.
    ///
    /// # Errors
    /// If they do not fit into memory.
    pub fn zeros(rows: usize, columns: usize) -> Result<Self> {
        let values = rows.checked_mul(columns).and_then(|len| Aligned::try_zeros(len).ok());
        let values = values.ok_or_else(|| too_large(rows, columns))?;
        Ok(Self { memory: Memory::Own(values), rows, columns })
    }

    fn copied(view: ArrayView2<'_, f32>) -> Self {
        let (rows, columns) = view.dim();
        let mut copy = Self { memory: Memory::Own(Aligned::zeros(view.len())), rows, columns };
        copy.view_mut().assign(&view);
        copy
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        match &self.memory {
            Memory::Array(array) => array.as_slice().expect("features are contiguous"),
            Memory::Own(values) => values,
        }
    }

    /// The same to write to.
    pub fn values_mut(&mut self) -> &mut [f32] {
        match &mut self.memory {
            Memory::Array(array) => array.as_slice_mut().expect("features are contiguous"),
            Memory::Own(values) => values,
        }
    }

    pub fn view(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.rows, self.columns), self.values())
            .expect("features are rows x columns")
    }

    pub fn view_mut(&mut self) -> ArrayViewMut2<'_, f32> {
        ArrayViewMut2::from_shape((self.rows, self.columns), self.values_mut())
            .expect("features are rows x columns")
    }

    /// The largest absolute value; not finite if any value is not.
    pub fn largest(&self) -> f32 {
        dispatch!(_simd => largest(self.values()))
    }

    /// Copies some rows, which are there.
    pub fn gather(&self, rows: &[usize]) -> Self {
        let columns = self.columns;
        let mut values = Aligned::zeros(rows.len().saturating_mul(columns));
        for (to, &row) in values.chunks_exact_mut(columns).zip(rows) {
            to.copy_from_slice(&self.values()[row * columns..][..columns]);
        }
        Self { memory: Memory::Own(values), rows: rows.len(), columns }
    }

    #[cfg(test)]
    pub fn are_in_large_pages(&self) -> bool {
        matches!(&self.memory, Memory::Own(values) if values.is_in_large_pages())
    }

    /// An array of the same values, in the same memory if it was made from one.
    pub fn into_array(self) -> Array2<f32> {
        match self.memory {
            Memory::Array(array) => array,
            Memory::Own(_) => self.view().to_owned(),
        }
    }
}

impl Clone for Features {
    fn clone(&self) -> Self {
        Self::copied(self.view())
    }
}

impl PartialEq for Features {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize, columns: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(r, c)| (r * columns + c) as f32)
    }

    #[test]
    fn those_in_large_pages_are_those_of_the_array() {
        for (rows, columns) in [(3, 2), (1, 1_100_000), (70_001, 19)] {
            let array = Features::new(table(rows, columns));
            let mut own = Features::zeros(rows, columns).unwrap();
            assert!(own != array && own.largest() == 0.0);
            own.view_mut().assign(&array.view());
            assert!(own == array && own.clone() == array && own.values() == array.values());
            assert_eq!((own.rows(), own.columns(), own.largest()), {
                (rows, columns, (rows * columns - 1) as f32)
            });
            assert!(own.into_array() == array.into_array());
        }
    }

    #[test]
    fn an_array_in_another_layout_is_brought_into_the_standard_one() {
        let turned = Features::new(table(5, 3).reversed_axes());
        assert!(turned.view() == table(5, 3).t() && turned.values()[1] == 3.0);
    }

    #[test]
    fn gathered_rows_come_in_the_order_asked_for() {
        let features = Features::new(table(60_000, 20));
        let rows: Vec<usize> = (0..60_000).rev().chain([7, 7]).collect();
        let gathered = features.gather(&rows);
        assert!(gathered.view().row(0) == features.view().row(59_999));
        assert!(gathered.view().row(60_001) == features.view().row(7));
        assert_eq!(gathered.rows(), 60_002);
    }

    #[test]
    fn large_ones_lie_in_large_pages_where_the_system_has_them() {
        let (rows, columns) = (60_000, 20);
        let there = crate::pages::zeros(rows * columns, crate::pages::LEAST).is_some();
        let given = Features::new(table(rows, columns));
        assert!(!given.are_in_large_pages(), "a user's array stays where it is");
        for own in [
            Features::zeros(rows, columns).unwrap(),
            Features::new(table(columns, rows).reversed_axes()),
            given.gather(&(0..rows).collect::<Vec<_>>()),
            given.clone(),
        ] {
            assert_eq!(own.are_in_large_pages(), there);
        }
    }

    #[test]
    fn too_many_are_an_error() {
        for rows in [usize::MAX, usize::MAX / 8] {
            let error = Features::zeros(rows, 2).unwrap_err().to_string();
            assert!(error.contains("do not fit into memory"), "{error}");
        }
    }
}
