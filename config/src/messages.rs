//! `[messages]`: what people are told.

use crate::read::{self, Section};
use std::path::PathBuf;

/// The wording of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Messages {
    /// A folder of templates that take the place of those that are built in.
    pub templates: Option<PathBuf>,
}

pub(crate) fn read(messages: &mut Section<'_>) -> Option<Messages> {
    Some(Messages { templates: messages.read_if_set("templates", read::path)? })
}
