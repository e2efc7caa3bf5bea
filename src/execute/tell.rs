//! Telling people. Owned here: which way a message goes, and what an attempt came to. Not owned here: what it says
//! (`operators::respond`), and when it is sent again (the ledger).

mod chat;

use super::OUTBOX;
use super::answer::Answer;
use super::terminate::Times;
use crate::run::Responses;
use crate::{secrets, templates};
use chat::Chat;
use connectors::mail;
use connectors::outbox::Outbox;
use connectors::smtp::{Delivery, Server, Smtp};
use engine::error::Error;
use operators::respond::message::Message;
use operators::respond::steps::{Dm, Mail};
use operators::respond::templates::Templates;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Sender of mails that lie in the outbox.
const SENDER: &str = "aerie <aerie@localhost.localdomain>";

/// Who tells people. May be shared between threads.
pub(super) struct Messenger {
    templates: Templates,
    mail: Option<Post>,
    chat: Option<Chat>,
    /// Where messages lie that there is no server for.
    outbox: Mutex<Outbox>,
    responses: Arc<Responses>,
}

/// A mail server, and the sender of what goes there.
struct Post {
    smtp: Smtp,
    from: String,
}

impl Messenger {
    /// The one that the job file describes. It has talked to nobody yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if its templates or one of its secrets will not do.
    pub(super) fn open(job: &config::Job, responses: Arc<Responses>) -> Result<Self, Error> {
        Ok(Messenger {
            templates: templates::read(job.messages.templates.as_deref())?,
            mail: job.mail.as_ref().map(Post::open).transpose()?,
            chat: job.chat.as_ref().map(Chat::open).transpose()?,
            outbox: Mutex::new(Outbox::open(&job.data_dir.join(OUTBOX))?),
            responses,
        })
    }

    /// Sends a mail, if it still `may` be when the server is ready.
    ///
    /// # Errors
    /// As the outbox fails, and as a mail does that is none.
    pub(super) fn mail(&self, mail: &Mail, may: &dyn Fn() -> bool) -> Result<Answer, Error> {
        let Message { subject, text, html } = mail.message(&self.templates);
        let from = self.mail.as_ref().map_or(SENDER, |post| &post.from);
        let written =
            mail::Mail { id: &mail.id, at: mail.date, from, to: &mail.to, subject: &subject, text: &text, html: &html };
        let answer = match &self.mail {
            Some(post) => answer(post.smtp.send(&written, may)?),
            None => {
                self.outbox.lock().unwrap_or_else(PoisonError::into_inner).write_mail(&written)?;
                Answer::Done { detail: None }
            }
        };
        Ok(self.counted(answer))
    }

    /// Sends a direct message, likewise.
    ///
    /// # Errors
    /// As the outbox fails.
    pub(super) fn dm(&self, dm: &Dm, times: Times, may: &dyn Fn() -> bool) -> Result<Answer, Error> {
        let text = dm.text(&self.templates);
        let answer = match &self.chat {
            Some(chat) => chat.send(dm, &text, times, may),
            None => {
                let json = serde_json::json!({ "id": dm.id, "to": dm.to, "text": text });
                let outbox = self.outbox.lock();
                outbox.unwrap_or_else(PoisonError::into_inner).write_message(&dm.id, &json.to_string())?;
                Answer::Done { detail: None }
            }
        };
        Ok(self.counted(answer))
    }

    fn counted(&self, answer: Answer) -> Answer {
        if matches!(answer, Answer::Done { .. }) {
            self.responses.messages.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

impl Post {
    fn open(mail: &config::Mail) -> Result<Self, Error> {
        let reveal = |(login, password)| {
            let password = secrets::reveal(password, "[mail] password_file")?;
            Ok::<_, Error>((String::clone(login), password.expose().to_owned()))
        };
        let smtp = Smtp::new(Server {
            host: mail.host.clone(),
            port: mail.port,
            hosts: mail.hosts.clone(),
            encryption: mail.tls,
            login: mail.login.as_ref().map(|(login, password)| reveal((login, password))).transpose()?,
            timeout: mail.timeout,
        })?;
        Ok(Post { smtp, from: mail.from.clone() })
    }
}

fn answer(delivery: Delivery) -> Answer {
    match delivery {
        Delivery::Taken => Answer::Done { detail: None },
        Delivery::NotTaken(error) => Answer::NotDone { error, retry_after: None },
        Delivery::Refused(error) => Answer::Refused { error },
        // Whoever gets it twice gets it under one Message-ID.
        Delivery::Unknown(error) => Answer::Unknown { error, repeatable: true },
        Delivery::Withheld => Answer::NotTried { wait: Duration::ZERO },
    }
}
