//! What was measured of one kind of work, by every server that can do it.

use crate::{contender::Kind, measure::Sample};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io};

/// What a case counts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Bytes,
    Requests,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// By contender: a place for every round, empty where the turn failed.
    pub(crate) samples: BTreeMap<String, Vec<Option<Sample>>>,
    /// Rates in the same rounds of what nobody can be faster than, in MB/s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) limit: Vec<f64>,
    /// Why turns failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failures: Vec<String>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, unit: Unit) -> Self {
        Self {
            name: name.into(),
            unit,
            samples: BTreeMap::new(),
            limit: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub(crate) fn record(&mut self, kind: Kind, sample: io::Result<Sample>) {
        let sample = match sample {
            Ok(sample) => {
                eprintln!(
                    "  {:14} {:32} {}",
                    kind.name(),
                    self.name,
                    self.rate_text(&sample)
                );
                Some(sample)
            }
            Err(error) => {
                eprintln!("  {:14} {:32} failed: {error}", kind.name(), self.name);
                self.failures
                    .push(format!("{}, {}: {error}", kind.name(), self.name));
                None
            }
        };
        self.samples
            .entry(kind.name().to_owned())
            .or_default()
            .push(sample);
    }

    fn rate_text(&self, sample: &Sample) -> String {
        match self.unit {
            Unit::Bytes => format!(
                "{:8.0} MB/s {:6.2} cpu-s/GB",
                sample.megabytes_per_second(),
                sample.cpu_per_gigabyte()
            ),
            Unit::Requests => format!(
                "{:8.0} /s   {:6.3} cpu-ms each",
                sample.requests_per_second(),
                sample.cpu_per_request()
            ),
        }
    }

    pub(crate) fn rate(&self, sample: &Sample) -> f64 {
        match self.unit {
            Unit::Bytes => sample.megabytes_per_second(),
            Unit::Requests => sample.requests_per_second(),
        }
    }

    pub(crate) fn cpu(&self, sample: &Sample) -> f64 {
        match self.unit {
            Unit::Bytes => sample.cpu_per_gigabyte(),
            Unit::Requests => sample.cpu_per_request(),
        }
    }

    /// The turns of a contender that did not fail.
    pub(crate) fn of(&self, contender: &str) -> impl Iterator<Item = &Sample> {
        self.samples.get(contender).into_iter().flatten().flatten()
    }

    /// How many times the rate of `other` the rate of `one` is, in each round.
    pub(crate) fn ratios(&self, one: &str, other: &str) -> Vec<f64> {
        let (Some(one), Some(other)) = (self.samples.get(one), self.samples.get(other)) else {
            return Vec::new();
        };
        let pairs = one.iter().zip(other);
        pairs
            .filter_map(|pair| match pair {
                (Some(one), Some(other)) => Some(self.rate(one) / self.rate(other)),
                _ => None,
            })
            .collect()
    }
}

/// All cases of one scenario.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// What is measured, in a sentence.
    pub(crate) about: String,
    pub(crate) cases: Vec<Case>,
    /// Tables that are not of rates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) facts: Vec<Fact>,
}

/// A figure of one server.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Fact {
    pub(crate) contender: String,
    pub(crate) name: String,
    pub(crate) value: String,
}
