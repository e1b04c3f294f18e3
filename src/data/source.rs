//! Where rows to learn from come from: memory or files.

use super::{DataStream, Dataset, TargetShape};

/// Data to train or evaluate on: in memory, or streamed from files. Whoever takes one takes references
/// to either.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum DataSource<'a> {
    /// In memory.
    Memory(&'a Dataset),
    /// In files, read as needed.
    Stream(&'a DataStream),
}

impl<'a> From<&'a Dataset> for DataSource<'a> {
    fn from(data: &'a Dataset) -> Self {
        Self::Memory(data)
    }
}

impl<'a> From<&'a DataStream> for DataSource<'a> {
    fn from(stream: &'a DataStream) -> Self {
        Self::Stream(stream)
    }
}

impl<'a> DataSource<'a> {
    /// Counts the rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Memory(data) => data.rows(),
            Self::Stream(stream) => stream.rows(),
        }
    }

    /// Counts the columns of the features.
    pub fn features(&self) -> usize {
        match self {
            Self::Memory(data) => data.features(),
            Self::Stream(stream) => stream.features(),
        }
    }

    pub(crate) fn target_shape(&self) -> TargetShape {
        match self {
            Self::Memory(data) => data.targets().shape(),
            Self::Stream(stream) => stream.target_shape(),
        }
    }

    /// What decides the order of a stream's rows beside seed and epoch.
    pub(crate) fn order_key(&self) -> Option<String> {
        match self {
            Self::Memory(_) => None,
            Self::Stream(stream) => Some(stream.order_key()),
        }
    }

    /// Names of the features' columns, and of the classes.
    pub(crate) fn names(&self) -> [Option<&'a [String]>; 2] {
        match self {
            Self::Memory(data) => [data.feature_names(), data.class_names()],
            Self::Stream(stream) => [stream.feature_names(), stream.class_names()],
        }
    }
}
