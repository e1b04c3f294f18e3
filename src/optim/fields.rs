//! The table of an optimizer's hyperparameters, from which it is checked, printed and read.

use crate::{Error, Result};

/// What a number may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// From 0 up.
    NotNegative,
    /// From 0 to below 1.
    BelowOne,
    /// From 0 to 1.
    UpToOne,
    /// Large enough that even its product with a small square root is a normal f32: padding has
    /// zero gradients, and 0 / 0 would make it NaN.
    Divisor,
}

impl Range {
    fn holds(self, value: f64) -> bool {
        let finite = (value as f32).is_finite();
        finite
            && match self {
                Self::NotNegative => value >= 0.0,
                Self::BelowOne => (0.0..1.0).contains(&value) && (value as f32) < 1.0,
                Self::UpToOne => (0.0..=1.0).contains(&value),
                Self::Divisor => value >= 1e-30,
            }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotNegative => "a finite number from 0 up",
            Self::BelowOne => "a number from 0 to below 1",
            Self::UpToOne => "a number from 0 to 1",
            Self::Divisor => "a finite number from 1e-30 up",
        }
    }
}

/// One hyperparameter.
#[derive(Debug)]
pub(super) enum Field<'a> {
    Number(&'static str, &'a mut f64, Range),
    Flag(&'static str, &'a mut bool),
}

/// What the shared functions below need to know of an optimizer.
pub(super) trait Hyperparameters: Copy {
    /// The optimizer's name in text.
    const NAME: &'static str;

    /// Every hyperparameter, the learning rate first.
    fn fields(&mut self) -> Vec<Field<'_>>;

    /// Checks what concerns several fields at once.
    fn check_together(&self) -> Result<()> {
        Ok(())
    }
}

/// Checks every field, then what concerns several.
pub(super) fn check<H: Hyperparameters>(optimizer: &H) -> Result<()> {
    for field in { *optimizer }.fields() {
        if let Field::Number(name, value, range) = field
            && !range.holds(*value)
        {
            let problem = format!("of {}: expected {}, found {value}", H::NAME, range.words());
            return Err(Error::config(name, problem));
        }
    }
    optimizer.check_together()
}

/// Prints `name(field=value, ...)`, from which [`read`] gets back the same bits.
pub(super) fn print<H: Hyperparameters>(optimizer: &H) -> String {
    let mut copy = *optimizer;
    let fields: Vec<String> = copy
        .fields()
        .into_iter()
        .map(|field| match field {
            Field::Number(name, value, _) => format!("{name}={value:?}"),
            Field::Flag(name, value) => format!("{name}={value}"),
        })
        .collect();
    format!("{}({})", H::NAME, fields.join(", "))
}

/// Cuts `name(arguments)` or `name` into its two parts.
pub(super) fn split(text: &str) -> Result<(&str, &str)> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('(') else {
        return Ok((text, ""));
    };
    let arguments = rest.strip_suffix(')').ok_or_else(|| {
        Error::config("optimizer", format!("expected a closing parenthesis, found {text:?}"))
    })?;
    Ok((name.trim_end(), arguments))
}

/// Sets fields from `field=value, ...`.
pub(super) fn read<H: Hyperparameters>(optimizer: &mut H, arguments: &str) -> Result<()> {
    for argument in arguments.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        set(optimizer, argument).map_err(|problem| Error::config("optimizer", problem))?;
    }
    Ok(())
}

fn set<H: Hyperparameters>(optimizer: &mut H, argument: &str) -> std::result::Result<(), String> {
    let (name, text) = argument
        .split_once('=')
        .map(|(name, text)| (name.trim(), text.trim()))
        .ok_or_else(|| format!("expected name=value, found {argument:?}"))?;
    for field in optimizer.fields() {
        match field {
            Field::Number(own, value, _) if own == name => {
                *value = text
                    .parse()
                    .map_err(|_| format!("expected a number as {name}, found {text:?}"))?;
                return Ok(());
            }
            Field::Flag(own, value) if own == name => {
                *value = text
                    .parse()
                    .map_err(|_| format!("expected true or false as {name}, found {text:?}"))?;
                return Ok(());
            }
            _ => {}
        }
    }
    Err(format!("{} has no `{name}`; it prints as {}", H::NAME, print(optimizer)))
}
