//! Which files a stream reads.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// One file, a folder (all its files of the format, sorted by name) or a list of either.
///
/// # Examples
/// ```
/// use std::path::Path;
/// use unisono::Files;
///
/// let one: Files = "rows.csv".into();
/// let some: Files = ["a.csv", "b.csv"].into();
/// let folder: Files = Path::new("parts").into();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files(Vec<PathBuf>);

macro_rules! from_one {
    ($($path:ty),+) => {$(
        impl From<$path> for Files {
            fn from(path: $path) -> Self {
                Self(vec![path.into()])
            }
        }
    )+};
}
from_one!(&str, String, &Path, PathBuf);

impl From<&PathBuf> for Files {
    fn from(path: &PathBuf) -> Self {
        Self(vec![path.clone()])
    }
}

impl<P: Into<PathBuf>> From<Vec<P>> for Files {
    fn from(paths: Vec<P>) -> Self {
        Self(paths.into_iter().map(Into::into).collect())
    }
}

impl<P: Into<PathBuf>, const N: usize> From<[P; N]> for Files {
    fn from(paths: [P; N]) -> Self {
        Self(paths.into_iter().map(Into::into).collect())
    }
}

impl Files {
    /// The files themselves: folders are replaced by what they hold with one of the `endings`.
    pub(super) fn expand(self, endings: &[&str]) -> Result<Vec<PathBuf>> {
        let mut files = vec![];
        for path in self.0 {
            if !path.is_dir() {
                files.push(path);
                continue;
            }
            let failed = |source| Error::Io { path: path.clone(), source };
            let mut found = vec![];
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let file = entry.map_err(failed)?.path();
                let ending = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
                if file.is_file() && endings.contains(&ending.to_ascii_lowercase().as_str()) {
                    found.push(file);
                }
            }
            if found.is_empty() {
                let endings: Vec<_> = endings.iter().map(|ending| format!(".{ending}")).collect();
                let expected = format!("files that end in {}", endings.join(" or "));
                return Err(Error::shape(path.display().to_string(), expected, "none"));
            }
            found.sort_unstable();
            files.extend(found);
        }
        if files.is_empty() {
            return Err(Error::shape("files of a stream", "at least one", "none"));
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_its_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.CSV", "notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let files = Files::from([folder.path(), Path::new("other.x")]).expand(&["csv"]).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap()).collect();
        assert_eq!(names, ["a.CSV", "b.csv", "other.x"]);
        let error = Files::from(folder.path()).expand(&["npy"]).unwrap_err().to_string();
        assert!(error.contains("files that end in .npy"), "{error}");
        assert!(Files::from(Vec::<PathBuf>::new()).expand(&["npy"]).is_err());
    }
}
