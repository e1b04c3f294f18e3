//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// An [`Error::Io`] about a path.
pub(super) fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |source| Error::Io { path: path.to_owned(), source }
}

/// Reads a file whole.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(failed(path))
}

/// Writes a file beside its place, has the disk confirm it and moves it there: whatever happens, the
/// place holds the old file or the new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder(path);
    // Of a missing one `tempfile` would name a file that nobody knows of.
    if !fs::metadata(&folder).map_err(failed(path))?.is_dir() {
        return Err(failed(path)(ErrorKind::NotADirectory.into()));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut builder = tempfile::Builder::new();
    let prefix = format!(".{}.", name.unwrap_or_default());
    builder.prefix(&prefix).suffix(UNFINISHED);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(&folder).map_err(failed(path))?;
    file.write_all(bytes).map_err(failed(path))?;
    file.as_file().sync_all().map_err(failed(path))?;
    file.persist(path).map_err(|error| failed(path)(error.error))?;
    sync_folder(&folder).map_err(failed(path))
}

/// How the names of files end that were being written when their process died.
pub(super) const UNFINISHED: &str = ".unfinished";

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Has the disk confirm the new name too, where folders can be opened.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        for text in ["first", "second"] {
            write_whole(&path, text.as_bytes()).unwrap();
            assert_eq!(read(&path).unwrap(), text.as_bytes());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let error = write_whole(Path::new("/no/such/folder/model"), b"").unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("/no/such/folder/model: No such file"), "{error}");
        assert!(!error.contains(UNFINISHED), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write_whole(&file.path().join("model"), b"").unwrap_err().to_string();
        assert!(error.contains("not a directory") && !error.contains(UNFINISHED), "{error}");
    }
}
