//! `kind = "kafka"`: a topic of activity.

use crate::read::{self, Refusal, Section};
use crate::value::Value;
use std::collections::BTreeSet;

/// The longest name that a topic can have.
const NAME_BYTES_MAX: usize = 249;

/// What a Kafka source reads. The brokers stand in `[kafka]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaSource {
    /// The topic; each of its partitions is one of the job's.
    pub topic: String,
}

impl KafkaSource {
    /// `seen` are the topics of the sources above, which must not be read twice.
    pub(super) fn read(section: &mut Section<'_>, seen: &mut BTreeSet<String>) -> Option<Self> {
        let topic = section.require("topic", "topic = \"activity\"", topic)?;
        if !seen.insert(topic.clone()) {
            let refusal = Refusal::new("is read by a source above already").hint("each topic is one source");
            section.refuse("topic", refusal);
        }
        Some(KafkaSource { topic })
    }

    pub(super) fn describe(&self) -> String {
        format!("topic {}, as it grows", self.topic)
    }
}

fn topic(value: &Value) -> Result<String, Refusal> {
    let text = read::text(value)?;
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    match plain && text.len() <= NAME_BYTES_MAX && text != "." && text != ".." {
        true => Ok(text),
        false => Err(Refusal::new("must be a topic: up to 249 letters, digits, dots, underscores and hyphens")),
    }
}
