//! Fashion-MNIST from the four files of its distribution.

use std::path::{Path, PathBuf};

use super::{Dataset, idx};
use crate::{Error, Result};

const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Reads Fashion-MNIST, (train, test), from a folder with its four files, plain or as `.gz`:
/// 60,000 and 10,000 images of 28x28 pixels from 0 to 1, of ten kinds of clothing.
///
/// The files are called `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
/// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`. Debian's package `dataset-fashion-mnist`
/// puts them into `/usr/share/datasets/fashion-mnist`.
///
/// # Errors
/// If a file is missing, cannot be read or is not what it should be.
///
/// # Source
/// H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
/// learning algorithms", 2017, <https://github.com/zalandoresearch/fashion-mnist>, MIT.
///
/// # Examples
/// ```no_run
/// use unisono::datasets;
///
/// let (train, test) = datasets::fashion_mnist("/usr/share/datasets/fashion-mnist")?;
/// assert_eq!((train.rows(), test.rows(), train.features()), (60_000, 10_000, 784));
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn fashion_mnist(dir: impl AsRef<Path>) -> Result<(Dataset, Dataset)> {
    let dir = dir.as_ref();
    if !dir.is_dir() {
        return Err(Error::Data(format!("Fashion-MNIST: there is no folder {}", dir.display())));
    }
    let files = |part: &str| -> Result<(PathBuf, PathBuf)> {
        let images = find(dir, &format!("{part}-images-idx3-ubyte"))?;
        Ok((images, find(dir, &format!("{part}-labels-idx1-ubyte"))?))
    };
    // All four files are looked for before the first is read.
    let (train, test) = (files("train")?, files("t10k")?);
    let read = |(images, labels): (PathBuf, PathBuf)| {
        idx::read_pair(&images, &labels, Some(CLASSES.len()))?.with_class_names(CLASSES)
    };
    Ok((read(train)?, read(test)?))
}

/// Finds a file, plain or compressed.
fn find(dir: &Path, name: &str) -> Result<PathBuf> {
    let candidates = [dir.join(name), dir.join(format!("{name}.gz"))];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::Data(format!(
            "Fashion-MNIST: folder {} holds neither {name} nor {name}.gz",
            dir.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_file_is_named() {
        let dir = std::env::temp_dir();
        let error = fashion_mnist(&dir).unwrap_err().to_string();
        assert!(error.contains(&dir.display().to_string()), "{error}");
        assert!(error.contains("neither train-images-idx3-ubyte nor"), "{error}");
    }

    #[test]
    fn the_missing_folder_is_named() {
        let error = fashion_mnist("no/such/folder").unwrap_err().to_string();
        assert!(error.contains("no folder no/such/folder"), "{error}");
    }
}
