//! `dataProcessor`: statistics of numbers, and work on rows.

mod statistics;
mod summary;
mod row;
mod transform;
mod aggregate;
mod describe;

use model::{Call, Plugin, PluginName, Result};
use serde_json::Value;

use super::{Answer, BuiltinPlugin, offload, payload, schema};

const MAX_NUMBERS: usize = 100_000;
const MAX_ROWS: usize = 10_000;
const MAX_STEPS: usize = 20;
const MAX_FIELDS: usize = 100;
const MAX_FIELD_CHARS: usize = 100;

/// Below these, the work takes less than a tenth of a millisecond or so and isn't worth another thread.
const FEW_NUMBERS: usize = 2_000;
const FEW_ROWS: usize = 100;

pub(super) struct DataProcessor {
    plugin: Plugin,
}

impl DataProcessor {
    pub(super) fn new() -> Result<Self> {
        let plugin = Plugin {
            name: PluginName::parse("dataProcessor")?,
            title: "Data processor".into(),
            description: "Statistics of numbers, and filtering, reshaping and grouping of rows. \
                          Computes in 64-bit floating point and touches nothing else."
                .into(),
            version: env!("CARGO_PKG_VERSION").into(),
            actions: vec![
                describe::process()?,
                describe::transform()?,
                describe::aggregate()?,
            ],
            prompts: Vec::new(),
            resources: Vec::new(),
            resource_templates: Vec::new(),
            max_concurrency: 32,
        };
        Ok(Self { plugin })
    }
}

impl BuiltinPlugin for DataProcessor {
    fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    fn call(&self, call: Call) -> Answer<'_> {
        let payload = call.payload;
        match call.action.as_str() {
            "process" => {
                let is_small = count(&payload, "data") <= FEW_NUMBERS;
                offload::compute(is_small, || summary::summarize(payload::read(payload)?))
            }
            "transform" => {
                let is_small = count(&payload, "rows") <= FEW_ROWS;
                offload::compute(is_small, || transform::transform(payload::read(payload)?))
            }
            "aggregate" => {
                let is_small = count(&payload, "rows") <= FEW_ROWS;
                offload::compute(is_small, || aggregate::aggregate(payload::read(payload)?))
            }
            _ => Answer::unknown_action(),
        }
    }
}

fn count(payload: &Value, field: &str) -> usize {
    payload.get(field).and_then(Value::as_array).map_or(0, Vec::len)
}
