//! What can go wrong, in words that say how to mend it.

use std::path::PathBuf;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong. Each message names the place, what was expected, what was found
/// and, where there is a choice, how to mend it. `Debug` writes the same, for it is what a `main` that
/// returns a [`Result`] shows.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A data set, or a part of one, is not usable.
    #[error("data: {0}")]
    Data(String),

    /// A field of a configuration holds a value that makes no sense.
    #[error("configuration: `{field}` {problem}")]
    Config {
        /// The field, as it is called in the program.
        field: &'static str,
        /// What was expected and found.
        problem: String,
    },

    /// A layer does not fit into its model.
    #[error("layer {index} ({layer}): {problem}")]
    Layer {
        /// Position in the model, from 0.
        index: usize,
        /// The layer, as the summary prints it.
        layer: String,
        /// What was expected and found.
        problem: String,
    },

    /// Two things that have to agree in size do not.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which things.
        what: String,
        /// The size that is needed.
        expected: String,
        /// The size that was given.
        found: String,
    },

    /// A file's content is not what its format asks for.
    #[error("{origin}{}: {problem}", line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Parse {
        /// The file or stream.
        origin: String,
        /// The line, from 1, where there are lines.
        line: Option<u64>,
        /// What was expected and found.
        problem: String,
    },

    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// The reason it gave.
        source: std::io::Error,
    },

    /// A loss, a gradient, a learning rate, a parameter or the optimizer's state is no longer a number, or too large for
    /// an `f32`. The model keeps its last good parameters, unless it is one of the last two: these are looked at when an
    /// epoch ends and before a checkpoint is written.
    #[error(
        "{what} is not finite in epoch {epoch}, step {step}: lower the learning rate, clip the gradients or check the \
         data's scale"
    )]
    NonFinite {
        /// The loss, a gradient, the learning rate, a parameter or the optimizer's state.
        what: &'static str,
        /// Epoch, from 1.
        epoch: usize,
        /// Step within the epoch, from 1.
        step: usize,
    },

    /// Code of the user's (a layer, an observer) panicked. The model keeps its last good parameters.
    #[error("{place} panicked: {message}")]
    Panic {
        /// Where it happened.
        place: String,
        /// What the panic said.
        message: String,
    },

    /// An observer stopped the training with an error of its own.
    #[error("observer: {0}")]
    Observer(Box<dyn std::error::Error + Send + Sync>),

    /// The thread pool could not be started.
    #[error("thread pool: {0}")]
    Threads(String),
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// A [`Error::Config`] in one call.
    pub(crate) fn config(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Config { field, problem: problem.into() }
    }

    /// The same, said of one of several things that it may be about.
    pub(crate) fn of(self, thing: &str) -> Self {
        match self {
            Self::Shape { what, expected, found } => {
                Self::Shape { what: format!("{thing}: {what}"), expected, found }
            }
            Self::Data(problem) => Self::Data(format!("{thing}: {problem}")),
            other => other,
        }
    }

    /// A [`Error::Parse`] in one call.
    pub(crate) fn parse(
        origin: impl Into<String>,
        line: impl Into<Option<u64>>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Parse { origin: origin.into(), line: line.into(), problem: problem.into() }
    }

    /// A [`Error::Panic`] of what a panic left.
    pub(crate) fn panic(place: &str, panic: Box<dyn std::any::Any + Send>) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("no message").to_owned();
        Self::Panic { place: place.to_owned(), message }
    }

    /// A [`Error::Shape`] in one call.
    pub(crate) fn shape(
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Shape { what: what.into(), expected: expected.to_string(), found: found.to_string() }
    }
}
