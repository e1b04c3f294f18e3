//! What a checkpoint holds, as the bytes of a file and back.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files;
use super::model_file::{from_json, to_json};
use super::run_state::RunState;
use super::tensors::{Reader, Values, Writer};
use crate::aligned::Aligned;
use crate::model::Sequential;
use crate::{Error, Result};

/// Where the state stands in the metadata.
const KEY: &str = "unisono_run";

/// Before the names of the optimizer's slots and of the best parameters.
const PREFIXES: [&str; 4] = ["slot0.", "slot1.", "slot2.", "best."];

/// A run's state as JSON, with a checksum of it and of the tensors.
#[derive(Serialize, Deserialize)]
struct Sealed {
    checksum: String,
    run: String,
}

/// The bytes of a checkpoint; `slots` and `best` lie as the parameters do, or are empty.
pub(super) fn to_bytes(
    model: &Sequential,
    state: &RunState,
    slots: [&[f32]; 3],
    best: &[f32],
) -> Result<Vec<u8>> {
    let mut writer = Writer::default();
    writer.add(model, "", &model.params);
    for (prefix, buffer) in PREFIXES.into_iter().zip([slots[0], slots[1], slots[2], best]) {
        if !buffer.is_empty() {
            writer.add(model, prefix, buffer);
        }
    }
    let run = to_json(state)?;
    let sealed = Sealed { checksum: writer.checksum(&run), run };
    writer.finish(KEY, to_json(&sealed)?)
}

/// What was read from a checkpoint.
pub(crate) struct Restored {
    pub state: RunState,
    pub params: Aligned,
    pub slots: [Aligned; 3],
    pub best: Aligned,
}

impl Restored {
    pub fn read(path: &Path, model: &Sequential) -> Result<Self> {
        let bytes = files::read(path)?;
        let reader = Reader::new(&bytes, KEY)?;
        let json = reader.json().ok_or_else(|| Error::Data("not a checkpoint".to_owned()))?;
        let Sealed { checksum, run } = from_json(json)?;
        if reader.checksum(&run) != checksum {
            let problem = "damaged: its checksum is not that of its content";
            return Err(Error::Data(problem.to_owned()));
        }
        let state: RunState = from_json(&run)?;
        state.check_model(model)?;
        let buffer = |prefix: &str| {
            if !reader.has(prefix) {
                return Ok(Aligned::default());
            }
            let mut buffer = Aligned::lasting(model.params.len());
            reader.fill(&model.layers, prefix, &mut buffer, Values::Any)?;
            Ok(buffer)
        };
        let [a, b, c, best] = PREFIXES.map(buffer);
        Ok(Self { state, params: buffer("")?, slots: [a?, b?, c?], best: best? })
    }
}
