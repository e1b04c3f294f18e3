//! Reads IDX, the format of MNIST and its kin.
//!
//! A file is two zero bytes, the element type, the number of dimensions, each dimension as a
//! big-endian u32, and the elements. All of it may be compressed by gzip. Nothing is allocated on
//! the header's word: the buffer grows with what the file really holds.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::Dataset;
use super::features::Features;
use super::targets;
use crate::{Error, Result};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const TYPE_U8: u8 = 0x08;
/// Bytes that are read at once.
const PIECE: usize = 1 << 18;

/// An array of bytes as the file holds it.
#[derive(Debug)]
pub(super) struct Idx {
    pub dims: Vec<usize>,
    pub data: Vec<u8>,
}

impl Dataset {
    /// Reads images and their labels from two IDX files, plain or compressed by gzip.
    ///
    /// Each image becomes a row, its pixels divided by 255 so that they lie in 0 to 1; the classes
    /// are 0 to the largest label.
    ///
    /// # Shapes
    /// Images are N x H x W, or N x any other dimensions, of u8; labels are N of u8.
    ///
    /// # Errors
    /// If a file cannot be read, is not IDX, ends early or goes on after its end, is of another
    /// element type, or there are not as many labels as images.
    ///
    /// # Source
    /// Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits".
    pub fn from_idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Self> {
        read_pair(images.as_ref(), labels.as_ref(), None)
    }
}

/// Reads images with their labels; `classes` is one more than the largest label unless given.
pub(super) fn read_pair(images: &Path, labels: &Path, classes: Option<usize>) -> Result<Dataset> {
    let (image_set, label_set) = (read_file(images)?, read_file(labels)?);
    let (images, labels) = (images.display().to_string(), labels.display().to_string());
    let swapped = "are images and labels swapped?";
    let found = image_set.dims.len();
    if found < 2 {
        let problem = format!("images need two dimensions or more, found {found}; {swapped}");
        return Err(Error::parse(&images, None, problem));
    }
    if label_set.dims.len() != 1 {
        let found = label_set.dims.len();
        return Err(Error::parse(
            &labels,
            None,
            format!("labels need one dimension, found {found}; {swapped}"),
        ));
    }
    let (rows, found) = (image_set.dims[0], label_set.data.len());
    if rows != found {
        return Err(Error::shape(
            format!("labels in {labels} for images in {images}"),
            rows,
            found,
        ));
    }
    let columns = image_set.data.len().checked_div(rows).unwrap_or(0);
    let mut features = Features::zeros(rows, columns)
        .map_err(|error| Error::parse(&images, None, error.to_string()))?;
    for (value, &pixel) in features.values_mut().iter_mut().zip(&image_set.data) {
        *value = f32::from(pixel) / 255.0;
    }
    let classes = classes.unwrap_or(label_set.data.iter().max().map_or(0, |&l| l as usize + 1));
    targets::classes(label_set.data, classes)
        .and_then(|targets| Dataset::of_features(features, targets))
        .map_err(|error| Error::parse(&images, None, format!("with {labels}: {error}")))
}

fn read_file(path: &Path) -> Result<Idx> {
    let origin = path.display().to_string();
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    read_idx(file, &origin)
}

/// Reads an array of u8, plain or compressed.
pub(super) fn read_idx(reader: impl Read, origin: &str) -> Result<Idx> {
    let mut reader = BufReader::with_capacity(PIECE, reader);
    let mut magic = Vec::new();
    let io = |error| io_error(origin, error);
    reader.by_ref().take(2).read_to_end(&mut magic).map_err(io)?;
    let whole = io::Cursor::new(magic.clone()).chain(reader);
    if magic == GZIP_MAGIC { read(MultiGzDecoder::new(whole), origin) } else { read(whole, origin) }
}

fn read(mut reader: impl Read, origin: &str) -> Result<Idx> {
    let dims = read_header(&mut reader, origin)?;
    let promise = dims.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    let len = dims.iter().try_fold(1usize, |len, &dim| len.checked_mul(dim)).ok_or_else(|| {
        Error::parse(
            origin,
            None,
            format!("the header promises {promise} bytes, which no file can hold"),
        )
    })?;
    let mut data = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        // One byte more than promised is asked for, to see the end (and gzip's checksum with it).
        let want = (len - data.len()).saturating_add(1).min(PIECE);
        let got = match reader.read(&mut piece[..want]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            got => got.map_err(|error| io_error(origin, error))?,
        };
        if got == 0 {
            break;
        }
        if got > len - data.len() {
            let problem = format!("goes on after the {promise} bytes that its header promises");
            return Err(Error::parse(origin, None, problem));
        }
        data.try_reserve(got)
            .map_err(|_| Error::parse(origin, None, "its content does not fit into memory"))?;
        data.extend_from_slice(&piece[..got]);
    }
    if data.len() < len {
        let got = data.len();
        return Err(Error::parse(
            origin,
            None,
            format!("is truncated: the header promises {promise} bytes of content, found {got}"),
        ));
    }
    Ok(Idx { dims, data })
}

fn read_header(reader: &mut impl Read, origin: &str) -> Result<Vec<usize>> {
    let mut word = || -> Result<[u8; 4]> {
        let mut word = [0; 4];
        reader.read_exact(&mut word).map_err(|error| io_error(origin, error))?;
        Ok(word)
    };
    let [zero, nought, element, dimensions] = word()?;
    if (zero, nought) != (0, 0) {
        let problem = format!("starts with {zero:02x} {nought:02x}, an IDX file with 00 00");
        return Err(Error::parse(origin, None, problem));
    }
    if element != TYPE_U8 {
        let problem = format!("holds elements of type 0x{element:02x}; only 0x08 (u8) can be read");
        return Err(Error::parse(origin, None, problem));
    }
    if dimensions == 0 {
        return Err(Error::parse(origin, None, "has no dimensions"));
    }
    (0..dimensions).map(|_| Ok(u32::from_be_bytes(word()?) as usize)).collect()
}

/// Tells content that ends early or does not unpack from what the system refuses.
fn io_error(origin: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::parse(origin, None, "is truncated: the file ends early")
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            Error::parse(origin, None, format!("is damaged: {error}"))
        }
        _ => Error::Io { path: origin.into(), source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// An IDX file of u8.
    fn idx(dims: &[u32], content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, TYPE_U8, dims.len() as u8];
        dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
        bytes.extend(content);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Gives one byte at a time, as a slow pipe might.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(1);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn plain_and_compressed_files_are_the_same() {
        let content: Vec<u8> = (0..=255).cycle().take(600_000).collect();
        let plain = idx(&[3, 200, 1000], &content);
        for bytes in [gzip(&plain), plain.clone()] {
            let read = read_idx(&bytes[..], "test").unwrap();
            assert_eq!((read.dims, read.data), (vec![3, 200, 1000], content.clone()));
        }
    }

    #[test]
    fn a_reader_may_give_single_bytes() {
        let bytes = gzip(&idx(&[2, 2], &[1, 2, 3, 4]));
        assert_eq!(read_idx(Dribble(&bytes), "test").unwrap().data, [1, 2, 3, 4]);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let plain = idx(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        for bytes in [gzip(&plain), plain] {
            for len in 0..bytes.len() {
                let error = read_idx(&bytes[..len], "test").unwrap_err();
                assert!(matches!(error, Error::Parse { .. }), "{len}: {error}");
            }
        }
    }

    #[test]
    fn no_flipped_bit_of_a_gzip_panics_or_changes_the_content() {
        let plain = idx(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let bytes = gzip(&plain);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = read_idx(&damaged[..], "test") {
                assert_eq!(read.data, [1, 2, 3, 4, 5, 6], "bit {bit}");
            }
        }
    }
}
