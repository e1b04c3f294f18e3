//! The thread that reads ahead, and the batches it hands over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::DataStream;
use super::chunk::Chunk;
use super::window::Window;
use crate::data::Dataset;
use crate::rng::{Purpose, Stream};
use crate::{Error, Result};

/// Batches that wait for the trainer.
const AHEAD: usize = 4;

/// What the thread is to read.
#[derive(Debug, Clone)]
pub(crate) struct ReadPlan {
    /// Rows of a batch.
    pub batch: usize,
    pub drop_last: bool,
    /// The seed of the order, if there is to be one other than the files'.
    pub shuffle: Option<u64>,
    /// The epoch to begin with.
    pub epoch: u64,
    /// Batches of that epoch to leave out.
    pub skip: usize,
    /// Whether to go on with the next epoch, for as long as someone listens.
    pub repeat: bool,
}

/// Batches from a thread that reads ahead through a bounded channel, into buffers that come back to it.
#[derive(Debug)]
pub(crate) struct BatchReader {
    batches: Option<Receiver<Result<Dataset>>>,
    used: Sender<Dataset>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BatchReader {
    /// Starts the thread.
    pub fn start(stream: &DataStream, plan: ReadPlan) -> Result<Self> {
        if stream.window == 0 {
            return Err(Error::config("window", "expected at least 1 row, found 0"));
        }
        let (sender, batches) = bounded(AHEAD);
        let (used, recycled) = bounded(AHEAD + 2);
        let stop = Arc::new(AtomicBool::new(false));
        let feeder = Feeder {
            out: stream.empty_chunk(),
            skip: plan.skip,
            stream: stream.clone(),
            plan,
            sender,
            recycled,
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new().name("unisono-reader".into());
        let thread = thread.spawn(move || feeder.run());
        let thread = thread.map_err(|error| Error::Threads(error.to_string()))?;
        Ok(Self { batches: Some(batches), used, stop, thread: Some(thread) })
    }

    /// Waits for the next batch; none at the end of what was planned.
    pub fn next(&mut self) -> Option<Result<Dataset>> {
        if let Ok(batch) = self.batches.as_ref()?.recv() {
            return Some(batch);
        }
        self.batches = None;
        let panic = self.thread.take()?.join().err()?;
        Some(Err(Error::panic("the reader of a stream", panic)))
    }

    /// Gives a batch's memory back.
    pub fn recycle(&self, batch: Dataset) {
        let _ = self.used.try_send(batch);
    }
}

impl Drop for BatchReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Why the thread ends early.
enum Halt {
    /// Nobody listens any more.
    Gone,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

struct Feeder {
    stream: DataStream,
    plan: ReadPlan,
    /// The batch that is being filled.
    out: Chunk,
    /// Batches of the first epoch that are still to be left out.
    skip: usize,
    sender: Sender<Result<Dataset>>,
    recycled: Receiver<Dataset>,
    stop: Arc<AtomicBool>,
}

impl Feeder {
    fn run(mut self) {
        let capacity = self.stream.window.min(self.stream.rows());
        let mut window = Window::new(self.stream.empty_chunk(), capacity);
        let mut chunk = self.stream.empty_chunk();
        let mut epoch = self.plan.epoch;
        loop {
            match self.epoch(epoch, &mut window, &mut chunk) {
                Ok(()) if self.plan.repeat => epoch += 1,
                Ok(()) | Err(Halt::Gone) => return,
                Err(Halt::Failed(error)) => {
                    let _ = self.sender.send(Err(error));
                    return;
                }
            }
        }
    }

    fn epoch(
        &mut self,
        epoch: u64,
        window: &mut Window,
        chunk: &mut Chunk,
    ) -> std::result::Result<(), Halt> {
        let mut files: Vec<usize> = (0..self.stream.files().len()).collect();
        if let Some(seed) = self.plan.shuffle {
            Stream::new(seed, Purpose::Shuffle, epoch, 0).shuffle(&mut files);
            window.begin(seed, epoch);
        }
        let shuffle = self.plan.shuffle.is_some();
        let stream = self.stream.clone();
        for file in files {
            stream.read_file(file, chunk, |chunk| {
                for row in 0..chunk.rows {
                    match shuffle {
                        true => window.pass(chunk, row, &mut self.out),
                        false => self.out.push(chunk, row),
                    }
                    self.send_full()?;
                }
                Ok::<(), Halt>(())
            })?;
        }
        if shuffle {
            for index in 0..window.rest() {
                window.left(index, &mut self.out);
                self.send_full()?;
            }
        }
        match self.plan.drop_last {
            true => self.out.clear(),
            false if self.out.rows > 0 => self.send()?,
            false => {}
        }
        Ok(())
    }

    fn send_full(&mut self) -> std::result::Result<(), Halt> {
        if self.out.rows < self.plan.batch {
            return if self.stop.load(Ordering::Relaxed) { Err(Halt::Gone) } else { Ok(()) };
        }
        self.send()
    }

    fn send(&mut self) -> std::result::Result<(), Halt> {
        if self.skip > 0 {
            self.skip -= 1;
            self.out.clear();
            return Ok(());
        }
        let next = match self.recycled.try_recv() {
            Ok(data) => Chunk::recycled(data),
            Err(_) => self.stream.empty_chunk(),
        };
        let batch = std::mem::replace(&mut self.out, next).into_dataset();
        self.sender.send(Ok(batch)).map_err(|_| Halt::Gone)
    }
}

/// The rows of a stream in the files' order, some at a time; made by [`DataStream::batches`].
#[derive(Debug)]
pub struct Batches {
    reader: BatchReader,
    names: (Option<Vec<String>>, Option<Vec<String>>),
}

impl Iterator for Batches {
    type Item = Result<Dataset>;

    fn next(&mut self) -> Option<Self::Item> {
        let (features, classes) = &self.names;
        Some(self.reader.next()?.and_then(|mut data| {
            if let Some(names) = features {
                data = data.with_feature_names(names.iter().cloned())?;
            }
            match classes {
                Some(names) => data.with_class_names(names.iter().cloned()),
                None => Ok(data),
            }
        }))
    }
}

impl DataStream {
    /// Reads the rows in the files' order, `rows` at a time, ahead of who takes them: to predict for
    /// all of them, say.
    ///
    /// # Errors
    /// If `rows` is 0; each batch may be an error of reading, after which there are no more.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> unisono::Result<()> {
    /// # let stream: unisono::DataStream = todo!();
    /// # let model: unisono::Sequential = todo!();
    /// for batch in stream.batches(4096)? {
    ///     let predicted = model.predict(batch?.x())?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn batches(&self, rows: usize) -> Result<Batches> {
        if rows == 0 {
            return Err(Error::config("rows", "expected at least 1, found 0"));
        }
        let batch = rows.min(self.rows());
        let plan =
            ReadPlan { batch, drop_last: false, shuffle: None, epoch: 0, skip: 0, repeat: false };
        let owned = |names: Option<&[String]>| names.map(<[String]>::to_vec);
        Ok(Batches {
            reader: BatchReader::start(self, plan)?,
            names: (owned(self.feature_names()), owned(self.class_names())),
        })
    }

    /// Reads the first rows, or all there are, into memory: to validate on what is small, say.
    ///
    /// # Errors
    /// If `rows` is 0 or a file cannot be read.
    pub fn first_rows(&self, rows: usize) -> Result<Dataset> {
        let expected = || Error::shape("rows of the stream", "at least one", 0);
        self.batches(rows)?.next().ok_or_else(expected)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CsvOptions;

    fn stream(folder: &std::path::Path, rows: usize) -> DataStream {
        for part in 0..3 {
            let rows = (0..rows).filter(|row| row % 3 == part);
            let lines: Vec<_> = rows.map(|row| format!("{row},{}", row % 2)).collect();
            let text = format!("x,y\n{}\n", lines.join("\n"));
            std::fs::write(folder.join(format!("{part}.csv")), text).unwrap();
        }
        DataStream::csv(folder, &CsvOptions::new("y").classes()).unwrap().window(5)
    }

    fn plan() -> ReadPlan {
        ReadPlan { batch: 4, drop_last: false, shuffle: Some(1), epoch: 0, skip: 0, repeat: true }
    }

    fn take(reader: &mut BatchReader, batches: usize) -> Vec<Vec<f32>> {
        let mut batch = || reader.next().unwrap().unwrap();
        (0..batches).map(|_| batch().x().iter().copied().collect()).collect()
    }

    #[test]
    fn epochs_follow_each_other_and_begin_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let stream = stream(folder.path(), 18);
        let all = take(&mut BatchReader::start(&stream, plan()).unwrap(), 10);
        assert_eq!(all[..5].iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4, 4, 2]);
        assert_ne!(all[..5], all[5..]);
        let later = ReadPlan { epoch: 1, skip: 2, ..plan() };
        assert_eq!(take(&mut BatchReader::start(&stream, later).unwrap(), 3), all[7..]);
        let dropped = ReadPlan { drop_last: true, ..plan() };
        let dropped = take(&mut BatchReader::start(&stream, dropped).unwrap(), 5);
        assert_eq!((&dropped[..4], &dropped[4]), (&all[..4], &all[5]));
    }

    #[test]
    fn memory_comes_back_to_the_reader() {
        let folder = tempfile::tempdir().unwrap();
        let stream = stream(folder.path(), 60);
        let mut reader = BatchReader::start(&stream, plan()).unwrap();
        let mut places = std::collections::HashSet::new();
        for _ in 0..200 {
            let batch = reader.next().unwrap().unwrap();
            places.insert(batch.x().as_ptr());
            reader.recycle(batch);
        }
        assert!(places.len() <= AHEAD + 3, "{} buffers", places.len());
    }

    #[test]
    fn the_files_order_without_shuffling() {
        let folder = tempfile::tempdir().unwrap();
        let stream = stream(folder.path(), 9);
        let rows: Vec<f32> = stream
            .batches(2)
            .unwrap()
            .flat_map(|batch| batch.unwrap().x().iter().copied().collect::<Vec<_>>())
            .collect();
        assert_eq!(rows, [0., 3., 6., 1., 4., 7., 2., 5., 8.]);
        assert_eq!(stream.first_rows(100).unwrap().rows(), 9);
        assert_eq!(stream.first_rows(2).unwrap().class_names().unwrap(), ["0", "1"]);
    }

    #[test]
    fn a_file_that_changed_is_an_error_and_not_a_hang() {
        let folder = tempfile::tempdir().unwrap();
        let stream = stream(folder.path(), 9);
        std::fs::write(folder.path().join("1.csv"), "x,y\n1,0\n").unwrap();
        let errors: Vec<_> = stream.batches(2).unwrap().filter_map(Result::err).collect();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().contains("1.csv: rows"), "{}", errors[0]);
    }
}
