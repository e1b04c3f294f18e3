//! Whether data name columns and classes as the model's training did. To the model both are numbers:
//! a file that lacks a class, or has its columns in another order, would be taken for what it is not.

use std::collections::HashMap;

use super::Sequential;
use crate::data::{DataSource, Preprocessing, key, listed};
use crate::{Error, Result};

/// The names of columns, and those of classes.
pub(crate) type Names<'a> = [Option<&'a [String]>; 2];

impl Sequential {
    fn names(&self) -> Names<'_> {
        [self.feature_names(), self.class_names()]
    }

    /// Demands the names that the model knows, or the classes of its preprocessing, where both sides have some.
    pub(crate) fn check_names(&self, data: DataSource) -> Result<()> {
        let [columns, classes] = self.names();
        let of_preprocessing = || self.preprocessing().and_then(Preprocessing::class_names);
        check_alike([columns, classes.or_else(of_preprocessing)], data.names(), "the data")
    }

    /// Demands that no name which the model knows stands in another place. New ones may take the place
    /// of old ones: a column may be renamed, and a model be trained for another task.
    pub(crate) fn check_places(&self, found: Names, of: &str) -> Result<()> {
        each_kind(self.names(), found, |kind, expected, found| {
            if first_difference(expected, found).is_none() {
                return Ok(());
            }
            let places: HashMap<_, _> = expected.iter().map(|name| key(name)).zip(0..).collect();
            let moved = found.iter().enumerate().find_map(|(index, name)| {
                let stays = expected.get(index).is_some_and(|there| key(there) == key(name));
                let place = *places.get(&key(name)).filter(|_| !stays)?;
                Some(if index < expected.len() { index } else { place })
            });
            moved.map_or(Ok(()), |index| Err(kind.differs(index, expected, found, of)))
        })
    }

    /// The names that the model knows after training on `data`: the data's own, with those of classes
    /// beyond them; when training goes on, names are kept where the data have none.
    pub(crate) fn names_after(&self, data: DataSource, goes_on: bool) -> [Option<Vec<String>>; 2] {
        let (known, found) = (self.names(), data.names());
        [0, 1].map(|kind| {
            let name = match (known[kind], found[kind]) {
                (known, None) if goes_on => known,
                (Some(known), Some(found))
                    if known.len() > found.len() && first_difference(known, found).is_none() =>
                {
                    Some(known)
                }
                (_, found) => found,
            };
            name.map(<[String]>::to_vec)
        })
    }
}

/// Demands the names that are expected, where both sides have some; classes may be fewer or more.
pub(crate) fn check_alike(expected: Names, found: Names, of: &str) -> Result<()> {
    each_kind(expected, found, |kind, expected, found| {
        let index = first_difference(expected, found);
        index.map_or(Ok(()), |index| Err(kind.differs(index, expected, found, of)))
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Column,
    Class,
}

/// Runs `check` on columns, then on classes, where both sides have names.
fn each_kind(
    expected: Names,
    found: Names,
    check: impl Fn(Kind, &[String], &[String]) -> Result<()>,
) -> Result<()> {
    for (kind, (expected, found)) in
        [Kind::Column, Kind::Class].into_iter().zip(expected.into_iter().zip(found))
    {
        if let (Some(expected), Some(found)) = (expected, found) {
            check(kind, expected, found)?;
        }
    }
    Ok(())
}

impl Kind {
    fn differs(self, index: usize, expected: &[String], found: &[String], of: &str) -> Error {
        let (what, mend) = match self {
            Self::Column => {
                let order = listed(expected);
                let mend = "or rename them by `with_feature_names`";
                ("column", format!("order the columns as {order}, {mend}"))
            }
            Self::Class => {
                let mut all = expected.to_vec();
                if found.len() > all.len() {
                    all.extend(found.iter().filter(|name| !expected.contains(name)).cloned());
                }
                let mend = "or rename the classes by `with_class_names`";
                let all = listed(&all);
                ("class", format!("read all files with `.class_names([{all}])`, {mend}"))
            }
        };
        let name = |names: &[String]| listed(&names[index..=index]);
        let (expected, found) = (name(expected), name(found));
        Error::Data(format!(
            "{what} {index} of {of}: expected {expected}, as in training, found {found}: {mend}"
        ))
    }
}

fn first_difference(expected: &[String], found: &[String]) -> Option<usize> {
    let same = |(a, b): (&String, &String)| a == b || key(a) == key(b);
    expected.iter().zip(found).position(|pair| !same(pair))
}
