//! Telling people. Owned here: which way a message goes. Not owned here: what it says (`operators::respond`), and when
//! it is sent again (the ledger).

use super::OUTBOX;
use super::answer::Answer;
use crate::run::Responses;
use connectors::outbox::{self, Outbox};
use engine::error::Error;
use operators::respond::message::Message;
use operators::respond::steps::{Dm, Mail};
use operators::respond::templates::Templates;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sender of mails that lie in the outbox.
const SENDER: &str = "aerie <aerie@localhost.localdomain>";

/// Who tells people.
pub(super) struct Messenger {
    templates: Templates,
    outbox: Outbox,
    responses: Arc<Responses>,
}

impl Messenger {
    /// One that leaves messages in the outbox of a data directory.
    pub(super) fn open(data_dir: &Path, responses: Arc<Responses>) -> Result<Self, Error> {
        let outbox = Outbox::open(&data_dir.join(OUTBOX))?;
        Ok(Messenger { templates: Templates::built_in(), outbox, responses })
    }

    /// Sends a mail.
    pub(super) fn mail(&mut self, mail: &Mail) -> Result<Answer, Error> {
        let Message { subject, text, html } = mail.message(&self.templates);
        let (id, to, at) = (&mail.id, &mail.to, mail.date);
        let (subject, text, html) = (&subject, &text, &html);
        self.outbox.write_mail(&outbox::Mail { id, at, from: SENDER, to, subject, text, html })?;
        Ok(self.sent())
    }

    /// Sends a direct message.
    pub(super) fn dm(&mut self, dm: &Dm) -> Result<Answer, Error> {
        let json = serde_json::json!({ "id": dm.id, "to": dm.to, "text": dm.text(&self.templates) });
        self.outbox.write_message(&dm.id, &json.to_string())?;
        Ok(self.sent())
    }

    fn sent(&self) -> Answer {
        self.responses.messages.fetch_add(1, Ordering::Relaxed);
        Answer::Done { detail: None }
    }
}
