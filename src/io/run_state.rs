//! Where a run stands, and whether another one may go on from there.

use serde::{Deserialize, Serialize};

use super::exact::Exact;
use super::spec::Spec;
use crate::data::DataSource;
use crate::model::{Sequential, check_alike};
use crate::{Error, Result};

/// Where a run stands, but for its buffers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunState {
    /// The architecture, for comparison.
    pub model: serde_json::Value,
    /// The configuration, for comparison.
    pub config: serde_json::Value,
    pub rows: usize,
    pub features: usize,
    /// What decides the order of a stream's rows.
    #[serde(default)]
    pub order: Option<String>,
    /// Rows and features of the validation set, none of each without one.
    #[serde(default)]
    pub validation: Option<[usize; 2]>,
    /// Names of the features' columns and of the classes, for comparison.
    #[serde(default)]
    pub names: [Option<Vec<String>>; 2],
    /// Optimizer steps done.
    pub steps: u64,
    /// Epochs done, and steps done of the current one.
    pub epoch: (usize, usize),
    /// Of the current epoch: loss, normalizer, seconds, rate of the last step.
    pub sums: [Exact; 4],
    /// Of the current epoch: rows, and those classified right.
    pub counts: [usize; 2],
    /// The schedule's rate, best loss and waiting time.
    pub schedule: (Exact, Exact, u64),
    /// Early stopping's best loss, its epoch, waiting time.
    pub stopping: (Exact, u64, u64),
    pub reports: Vec<SavedReport>,
    pub stopped: Option<SavedStop>,
}

impl RunState {
    pub fn check_model(&self, model: &Sequential) -> Result<()> {
        let now = Spec::new(model).architecture()?;
        if self.model == now {
            return Ok(());
        }
        let (saved, now) = (&self.model, &now);
        Err(Error::shape("the model of the checkpoint", now, saved))
    }

    /// Checks that the run is to go on as it began.
    pub fn check(
        &self,
        config: &serde_json::Value,
        data: DataSource,
        validation: [usize; 2],
    ) -> Result<()> {
        if self.order != data.order_key() {
            let name = |order: &Option<String>| order.clone().unwrap_or("rows in memory".into());
            let (saved, now) = (name(&self.order), name(&data.order_key()));
            return Err(Error::shape("the data, as in the checkpoint", saved, now));
        }
        let (rows, features) = (data.rows(), data.features());
        for (what, saved, now) in [("rows", self.rows, rows), ("features", self.features, features)]
        {
            if saved != now {
                return Err(Error::shape(
                    format!("{what} of the data, as in the checkpoint"),
                    saved,
                    now,
                ));
            }
        }
        let names = self.names.each_ref().map(Option::as_deref);
        check_alike(names, data.names(), "the data")?;
        self.check_fields(config)?;
        self.check_validation(config, validation)
    }

    /// Checks the configuration's fields, one by one.
    fn check_fields(&self, config: &serde_json::Value) -> Result<()> {
        for field in FIELDS {
            let (saved, now) = (&self.config[field], &config[field]);
            if saved != now {
                let [saved, now] = [saved, now].map(|value| match value.is_null() {
                    true => "none set".to_owned(),
                    false => value.to_string(),
                });
                let problem = format!("expected {saved}, as in the checkpoint, found {now}");
                return Err(Error::config(field, problem));
            }
        }
        Ok(())
    }

    /// Checks the validation set's rows and features where the run goes by its loss.
    fn check_validation(&self, config: &serde_json::Value, validation: [usize; 2]) -> Result<()> {
        let goes_by_it = [&config["early_stopping"], &config["schedule"]["reduce_on_plateau"]];
        let goes_by_it = goes_by_it.iter().any(|setting| !setting.is_null());
        // Files of before do not tell.
        let Some(saved) = self.validation.filter(|saved| goes_by_it && *saved != validation) else {
            return Ok(());
        };
        let [saved, now] = [saved, validation].map(|[rows, features]| match rows {
            0 => "none".to_owned(),
            _ => format!("{rows} rows x {features}"),
        });
        let problem = format!("expected {saved}, as in the checkpoint, found {now}");
        Err(Error::config("validation", problem))
    }
}

/// The fields of a configuration that decide the bits; epochs may be added.
const FIELDS: [&str; 11] = [
    "loss",
    "optimizer",
    "batch_size",
    "drop_last",
    "shuffle",
    "seed",
    "shards",
    "clip",
    "schedule",
    "loss_threshold",
    "early_stopping",
];

/// An epoch's report: loss, accuracy, validation loss and accuracy, rate, seconds, rows/s.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SavedReport(pub usize, pub [Option<Exact>; 7]);

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SavedStop {
    Epochs,
    LossThreshold,
    EarlyStopping(usize),
    Observer,
}
