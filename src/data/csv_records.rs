//! The records of a CSV file, with line numbers that are right.

use std::io::{self, Read};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use crate::{Error, Result};

/// Bytes that a record may have: a quote that is never closed would take in all that follows, and all
/// memory with it.
const LONGEST_RECORD: u64 = 256 << 20;

/// The fields of a record, without blanks around them.
#[derive(Debug, Default)]
pub(super) struct Record(StringRecord);

impl Record {
    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(str::trim)
    }

    /// The field of a column; an empty one where there is none.
    pub fn field(&self, column: usize) -> &str {
        self.0.get(column).unwrap_or_default().trim()
    }
}

/// Reads record after record.
///
/// `csv` tells a record's line without the blank lines before it, and a line short where lines end
/// in CR LF. The line that the reader stands on after a record is right, if every line ends in LF.
pub(super) struct Records<R> {
    reader: Reader<LineFeeds<R>>,
    origin: String,
    pub record: Record,
    /// The line on which the record ends, from 1.
    pub line: u64,
    /// Bytes that a record may have.
    longest: u64,
}

impl<R: Read> Records<R> {
    /// # Errors
    /// If the delimiter cannot delimit.
    pub fn new(reader: R, origin: &str, delimiter: u8) -> Result<Self> {
        if matches!(delimiter, b'"' | b'\r' | b'\n' | 0x80..) {
            let problem = format!("is {:?}, which cannot delimit", delimiter as char);
            return Err(Error::config("delimiter", problem));
        }
        let reader = LineFeeds::new(reader, LONGEST_RECORD);
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).delimiter(delimiter);
        let (reader, record) = (builder.from_reader(reader), Record::default());
        Ok(Self { reader, origin: origin.into(), record, line: 0, longest: LONGEST_RECORD })
    }

    /// Reads the next record into `record`; false at the end.
    pub fn advance(&mut self) -> Result<bool> {
        self.reader.get_mut().left = self.longest;
        let read = self.reader.read_record(&mut self.record.0);
        self.line = self.reader.position().line().saturating_sub(1);
        if self.reader.get_ref().ended && !self.record.0.is_empty() {
            return Err(self.never_closed());
        }
        read.map_err(|error| self.error(error))
    }

    /// Every line has an end, and the record's did not end it: nothing but a quote can keep it open.
    fn never_closed(&mut self) -> Error {
        let lines: usize = self.record.0.iter().map(|field| field.matches('\n').count()).sum();
        self.line = (self.line + 1).saturating_sub(lines as u64);
        self.wrong("a quote is opened in this row and never closed")
    }

    /// Says that the current record is wrong.
    pub fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::parse(&self.origin, self.line, problem)
    }

    fn error(&self, error: csv::Error) -> Error {
        let message = error.to_string();
        match error.into_kind() {
            ErrorKind::Io(source) if source.kind() == io::ErrorKind::FileTooLarge => {
                self.wrong(source.to_string())
            }
            ErrorKind::Io(source) => Error::Io { path: self.origin.clone().into(), source },
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                self.wrong(format!("expected {expected_len} fields as in the first, found {len}"))
            }
            ErrorKind::Utf8 { err, .. } => {
                self.wrong(format!("column {} (from 0) is not UTF-8", err.field()))
            }
            _ => self.wrong(message),
        }
    }
}

/// Makes every line end in LF: those that end in CR or CR LF, and a last one that has no end.
struct LineFeeds<R> {
    inner: R,
    after_return: bool,
    line_open: bool,
    /// Whether all was read.
    ended: bool,
    /// Bytes that may still be read for the current record.
    left: u64,
}

impl<R> LineFeeds<R> {
    fn new(inner: R, left: u64) -> Self {
        Self { inner, after_return: false, line_open: false, ended: false, left }
    }
}

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let got = self.inner.read(buffer)?;
            self.left = self.left.saturating_sub(got as u64);
            if self.left == 0 {
                let problem =
                    "the row that follows is too long: is there a quote that is not closed?";
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
            }
            if got == 0 {
                if !std::mem::take(&mut self.line_open) {
                    self.ended = true;
                    return Ok(0);
                }
                buffer[0] = b'\n';
                return Ok(1);
            }
            if !self.after_return && !buffer[..got].contains(&b'\r') {
                self.line_open = buffer[got - 1] != b'\n';
                return Ok(got);
            }
            let mut kept = 0;
            for i in 0..got {
                let byte = buffer[i];
                let ends_return = std::mem::replace(&mut self.after_return, byte == b'\r');
                if !(ends_return && byte == b'\n') {
                    buffer[kept] = if byte == b'\r' { b'\n' } else { byte };
                    kept += 1;
                }
            }
            if kept > 0 {
                self.line_open = buffer[kept - 1] != b'\n';
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<u64> {
        let mut records = Records::new(text.as_bytes(), "test", b',').unwrap();
        let mut lines = Vec::new();
        while records.advance().unwrap() {
            lines.push(records.line);
        }
        lines
    }

    #[test]
    fn lines_count_whatever_ends_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["", "", "a,y", "1,0", "", "", "2,1"].join(end);
            assert_eq!(lines(&text), [3, 4, 7], "{end:?}");
            assert_eq!(lines(&(text + end)), [3, 4, 7], "{end:?}");
        }
    }

    #[test]
    fn a_record_over_several_lines_counts_by_its_last() {
        assert_eq!(lines("a,y\n\"1\n\n\",2\n3,4\n"), [1, 4, 5]);
    }

    #[test]
    fn a_quote_left_open_is_an_error_wherever_it_stands() {
        for row in ["1,\"2", "\"1,2", "\"1\n\",\"2"] {
            for rest in ["", "\n", "\n3,4", "\n3,4\n\n5,6\n"] {
                let text = format!("a,b\n\n{row}{rest}");
                let mut records = Records::new(text.as_bytes(), "test", b',').unwrap();
                assert!(records.advance().unwrap());
                let error = records.advance().unwrap_err().to_string();
                let expected = "test, line 3: a quote is opened in this row and never closed";
                assert_eq!(error, expected, "{text:?}");
            }
        }
    }

    #[test]
    fn a_closed_quote_may_end_the_file() {
        for end in ["", "\n", "\r\n", "\n\n"] {
            assert_eq!(lines(&format!("a,b\n1,\"2\"{end}")), [1, 2], "{end:?}");
            assert_eq!(lines(&format!("a,b\n1,\"2\"\"\"{end}")), [1, 2], "{end:?}");
        }
    }

    #[test]
    fn line_ends_may_fall_between_two_reads() {
        let parts = io::Cursor::new("a\r").chain("\nb\r".as_bytes()).chain("\n\nc".as_bytes());
        let mut text = String::new();
        let mut feeds = LineFeeds::new(parts, 100);
        feeds.read_to_string(&mut text).unwrap();
        assert_eq!(text, "a\nb\n\nc\n");
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_take_all_memory() {
        let endless = "a,b\n1,\"2\n".as_bytes().chain(io::repeat(b'x'));
        let mut records = Records::new(endless, "endless.csv", b',').unwrap();
        records.longest = 1 << 20;
        assert!(records.advance().unwrap());
        let error = records.advance().unwrap_err().to_string();
        assert!(error.starts_with("endless.csv, line ") && error.contains("quote"), "{error}");
    }
}
