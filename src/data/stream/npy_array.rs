//! One array of an `.npy` file or an `.npz` archive, read as it is needed.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use zip::{CompressionMethod, ZipArchive};

use crate::data::listed;
use crate::{Error, Result};

/// Bytes that are asked of a file at once.
const BUFFER: usize = 256 << 10;

/// Deflate makes data a thousand and some times smaller at most.
const MOST_PACKED: u64 = 1100;

/// Bytes of a header that NumPy itself reads from strangers at most.
const LONGEST_HEADER: usize = 10_000;
/// Brackets in a header: those of the dictionary, of the shape, and some more.
const MOST_BRACKETS: usize = 8;
/// Digits in a header: with more of them the shape's product could be beyond 64 bits.
const MOST_DIGITS: usize = 18;

/// What the elements of an array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    kind: TypeChar,
    bytes: usize,
    big: bool,
}

impl Element {
    pub fn is_float(self) -> bool {
        self.kind == TypeChar::Float
    }
}

/// The rows of an array, in order.
pub(super) struct ArrayReader {
    origin: String,
    reader: Box<dyn Read + Send>,
    pub element: Element,
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    bytes: Vec<u8>,
    done: usize,
}

impl ArrayReader {
    /// Opens an `.npy` file.
    pub fn npy(path: &Path) -> Result<Self> {
        let failed = |source| Error::Io { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        Self::new(path.display().to_string(), Box::new(file), size)
    }

    /// Opens the array `name` of an `.npz` archive.
    pub fn npz(path: &Path, name: &str) -> Result<Self> {
        let failed = |source| Error::Io { path: path.into(), source };
        let wrong = |problem: String| Error::parse(path.display().to_string(), None, problem);
        let open = || File::open(path).map_err(failed);
        let mut archive = ZipArchive::new(BufReader::new(open()?))
            .map_err(|error| wrong(format!("no archive of NumPy's: {error}")))?;
        let Some(index) = archive.index_for_name(&format!("{name}.npy")) else {
            let names = archive.file_names().map(|name| name.trim_end_matches(".npy").to_owned());
            let names = listed(&names.collect::<Vec<_>>());
            return Err(wrong(format!("no array is called {name:?}; there are: {names}")));
        };
        let entry = archive.by_index_raw(index).map_err(|error| wrong(error.to_string()))?;
        let start = entry.data_start().ok_or_else(|| wrong("the archive has no data".into()))?;
        let (size, packed, crc) = (entry.size(), entry.compressed_size(), entry.crc32());
        let method = entry.compression();
        let mut file = open()?;
        let whole = file.metadata().map_err(failed)?.len();
        if start.checked_add(packed).is_none_or(|end| end > whole) || size / MOST_PACKED > packed {
            let problem =
                format!("{name}: {packed} bytes that unpack to {size}, in {whole} in all");
            return Err(wrong(problem));
        }
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let packed = BufReader::with_capacity(BUFFER, file.take(packed));
        let data: Box<dyn Read + Send> = match method {
            CompressionMethod::Stored => Box::new(packed),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(packed)),
            other => return Err(wrong(format!("{name}: compressed by {other}, not by deflate"))),
        };
        let hash = crc32fast::Hasher::new();
        let data = Checksummed { data: data.take(size), left: size, hash, crc };
        Self::new(format!("{}, array {name}", path.display()), Box::new(data), size)
    }

    /// `size` is that of header and data, by which what the header says is judged.
    fn new(origin: String, data: Box<dyn Read + Send>, size: u64) -> Result<Self> {
        let mut reader = BufReader::with_capacity(BUFFER, data).take(size);
        let header = header(&mut reader).map_err(|error| {
            Error::parse(&origin, None, format!("no plain array of NumPy's: {error}"))
        })?;
        let size = reader.limit();
        let element = match header.dtype() {
            DType::Plain(kind) => Element {
                kind: kind.type_char(),
                bytes: kind.num_bytes().unwrap_or(0),
                big: kind.endianness() == Endianness::Big,
            },
            DType::Array(..) | DType::Record(_) => {
                Element { kind: TypeChar::Object, bytes: 0, big: false }
            }
        };
        let known = match element.kind {
            TypeChar::Bool => element.bytes == 1,
            TypeChar::Int | TypeChar::Uint => [1, 2, 4, 8].contains(&element.bytes),
            TypeChar::Float => [4, 8].contains(&element.bytes),
            _ => false,
        };
        if !known {
            let found = header.dtype().descr();
            let expected = "booleans, integers, or floats of 4 or 8 bytes";
            return Err(Error::shape(format!("{origin}: elements"), expected, found));
        }
        let shape = header.shape();
        if header.order() == Order::Fortran && shape.len() > 1 {
            let problem = "the array lies column by column: save np.ascontiguousarray of it";
            return Err(Error::parse(&origin, None, problem));
        }
        let too_large = || {
            let problem = format!("the header promises {shape:?}, and {size} bytes follow");
            Error::parse(&origin, None, problem)
        };
        let Some((&rows, rest)) = shape.split_first() else {
            return Err(Error::parse(&origin, None, "a single number, expected rows"));
        };
        let columns = rest.iter().try_fold(1_u64, |all, &one| all.checked_mul(one));
        let columns = columns.ok_or_else(too_large)?;
        let bytes = columns.checked_mul(element.bytes as u64).and_then(|row| row.checked_mul(rows));
        if bytes.is_none_or(|bytes| bytes > size) || (rows > 0 && columns > size) {
            return Err(too_large());
        }
        if columns == 0 {
            return Err(Error::shape(format!("{origin}: columns"), "at least one", 0));
        }
        let (rows, columns) = (rows as usize, columns as usize);
        let reader = Box::new(reader);
        Ok(Self { origin, reader, element, rows, columns, bytes: vec![], done: 0 })
    }

    /// Reads the bytes of at most `most` further rows, and returns how many rows those are.
    fn fill(&mut self, most: usize) -> Result<usize> {
        let rows = most.min(self.rows - self.done);
        self.bytes.resize(rows * self.columns * self.element.bytes, 0);
        self.reader.read_exact(&mut self.bytes).map_err(|error| {
            let (first, last) = (self.done, self.done + rows);
            Error::parse(
                &self.origin,
                None,
                format!("rows {first} to {last} cannot be read: {error}"),
            )
        })?;
        self.done += rows;
        Ok(rows)
    }

    /// Appends the numbers of at most `most` further rows, and returns how many rows those are.
    pub fn numbers(&mut self, most: usize, out: &mut Vec<f32>) -> Result<usize> {
        let rows = self.fill(most)?;
        let (bytes, big) = (&self.bytes[..], self.element.big);
        match (self.element.kind, self.element.bytes) {
            (TypeChar::Float, 4) => each(bytes, big, |b| out.push(f32::from_le_bytes(b))),
            (TypeChar::Float, _) => each(bytes, big, |b| out.push(f64::from_le_bytes(b) as f32)),
            (TypeChar::Uint | TypeChar::Bool, 1) => out.extend(bytes.iter().map(|&b| f32::from(b))),
            (TypeChar::Uint, 2) => each(bytes, big, |b| out.push(f32::from(u16::from_le_bytes(b)))),
            (TypeChar::Uint, 4) => each(bytes, big, |b| out.push(u32::from_le_bytes(b) as f32)),
            (TypeChar::Uint, _) => each(bytes, big, |b| out.push(u64::from_le_bytes(b) as f32)),
            (_, 1) => each(bytes, big, |b| out.push(f32::from(i8::from_le_bytes(b)))),
            (_, 2) => each(bytes, big, |b| out.push(f32::from(i16::from_le_bytes(b)))),
            (_, 4) => each(bytes, big, |b| out.push(i32::from_le_bytes(b) as f32)),
            _ => each(bytes, big, |b| out.push(i64::from_le_bytes(b) as f32)),
        }
        Ok(rows)
    }

    /// Appends the labels of at most `most` further rows, and returns how many rows those are.
    pub fn labels(&mut self, most: usize, out: &mut Vec<u32>) -> Result<usize> {
        if self.element.is_float() {
            return Err(Error::shape(format!("{}: labels", self.origin), "integers", "floats"));
        }
        let first = self.done;
        let rows = self.fill(most)?;
        let (bytes, big) = (&self.bytes[..], self.element.big);
        let start = out.len();
        let mut wrong_at = None;
        let mut take = |label: i128| {
            let at = out.len() - start;
            out.push(u32::try_from(label).unwrap_or_else(|_| {
                wrong_at.get_or_insert((first + at, label));
                0
            }));
        };
        match (self.element.kind, self.element.bytes) {
            (TypeChar::Uint | TypeChar::Bool, 1) => bytes.iter().for_each(|&b| take(b.into())),
            (TypeChar::Uint, 2) => each(bytes, big, |b| take(u16::from_le_bytes(b).into())),
            (TypeChar::Uint, 4) => each(bytes, big, |b| take(u32::from_le_bytes(b).into())),
            (TypeChar::Uint, _) => each(bytes, big, |b| take(u64::from_le_bytes(b).into())),
            (_, 1) => each(bytes, big, |b| take(i8::from_le_bytes(b).into())),
            (_, 2) => each(bytes, big, |b| take(i16::from_le_bytes(b).into())),
            (_, 4) => each(bytes, big, |b| take(i32::from_le_bytes(b).into())),
            _ => each(bytes, big, |b| take(i64::from_le_bytes(b).into())),
        }
        match wrong_at {
            Some((row, label)) => {
                let problem = format!("label {label} in row {row}: classes are numbered from 0");
                Err(Error::parse(&self.origin, None, problem))
            }
            None => Ok(rows),
        }
    }
}

/// Reads the header as far as it can be one: a parser that goes down into brackets, takes memory as the
/// header says, and multiplies the shape's numbers unchecked, is not for what strangers wrote.
fn header(reader: &mut impl Read) -> io::Result<NpyHeader> {
    let invalid = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
    let mut bytes = vec![0; 10];
    reader.read_exact(&mut bytes)?;
    if bytes[6] > 1 {
        bytes.resize(12, 0);
        reader.read_exact(&mut bytes[10..])?;
    }
    let length = bytes[8..].iter().rev().fold(0, |all, &byte| all << 8 | usize::from(byte));
    if length > LONGEST_HEADER {
        return Err(invalid("the header is too long"));
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    reader.read_exact(&mut bytes[start..])?;
    let text = &bytes[start..];
    if lists_fields(text) {
        let problem = "its elements are records of several fields, expected numbers: save each field \
                       as an array of its own";
        return Err(invalid(problem));
    }
    if text.iter().filter(|byte| b"([{".contains(byte)).count() > MOST_BRACKETS {
        return Err(invalid("the header is no description of a plain array"));
    }
    let words = text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    let mut numbers = words.filter(|word| word.first().is_some_and(u8::is_ascii_digit));
    if !numbers.all(|number| number.iter().all(u8::is_ascii_digit)) {
        return Err(invalid("the header has a number that is not decimal"));
    }
    if text.iter().filter(|byte| byte.is_ascii_digit()).count() > MOST_DIGITS {
        return Err(invalid("the header promises more than any file holds"));
    }
    NpyHeader::from_reader(&bytes[..])
}

/// Whether a header's `descr` is a list, as that of a structured dtype is.
fn lists_fields(header: &[u8]) -> bool {
    let header = String::from_utf8_lossy(header);
    let descr = header.split("descr").nth(1).unwrap_or_default();
    descr.trim_start_matches(['\'', '"', ':', ' ']).starts_with('[')
}

/// Hands over element after element, its bytes the lowest first.
fn each<const N: usize>(bytes: &[u8], big: bool, mut take: impl FnMut([u8; N])) {
    let (elements, _) = bytes.as_chunks::<N>();
    for &(mut element) in elements {
        if big {
            element.reverse();
        }
        take(element);
    }
}

/// Compares the checksum of the data with the archive's once all of them were read.
struct Checksummed<R> {
    data: R,
    left: u64,
    hash: crc32fast::Hasher,
    crc: u32,
}

impl<R: Read> Read for Checksummed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.data.read(buffer)?;
        self.hash.update(&buffer[..got]);
        self.left = self.left.saturating_sub(got as u64);
        if got > 0 && self.left == 0 && self.hash.clone().finalize() != self.crc {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum is wrong"));
        }
        Ok(got)
    }
}
