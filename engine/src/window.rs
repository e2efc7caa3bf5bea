//! Looking at rows of keyed state while a job runs. Somebody outside asks; the coordinator announces the question, and on
//! the worker that owns a row its operator answers between two batches, with the row as the store would hold it. Nothing is
//! changed by looking: no row comes into memory, and no time passes. Not owned here: what is in a row.

use crate::error::Error;
use crate::key::KeyGroup;
use crate::limits::QUESTIONS_MAX;
use crate::state::{Row, RowKey, codec};
use crate::time::Stamp;
use serde::{Deserialize, Serialize};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a row lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Name of the operator that it is a row of.
    pub operator: String,
    group: KeyGroup,
    name: Vec<u8>,
}

impl Place {
    /// A row of an operator.
    pub fn of(operator: &str, key: RowKey<'_>) -> Self {
        Place { operator: operator.to_owned(), group: key.group, name: key.bytes.to_vec() }
    }

    /// The row, as its operator knows it.
    pub fn key(&self) -> RowKey<'_> {
        RowKey::under(self.group, &self.name)
    }
}

/// A row as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its operator had applied everything up to here; none once all its input had ended.
    pub through: Option<Stamp>,
    value: Option<Vec<u8>>,
}

impl Seen {
    /// What an operator has, as the store would hold it.
    pub(crate) fn new(through: Option<Stamp>, value: Option<Vec<u8>>) -> Self {
        Seen { through, value }
    }

    /// The row, if there is one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for what cannot be decoded as such a row.
    pub fn row<R: Row>(&self) -> Result<Option<R>, Error> {
        let decoded = self.value.as_deref().map(codec::decode).transpose()?;
        Ok(decoded.map(|(row, _)| row))
    }
}

/// The rows of a question, in its order, or why they cannot be told.
pub type Answer = Result<Vec<Seen>, String>;

/// Where who is outside asks, and the coordinator finds the questions.
#[derive(Clone, Default)]
pub struct Window(Arc<Mutex<Vec<Question>>>);

impl Window {
    /// Asks for rows. The answer comes in a moment; none comes, and the receiver is hung up on, if the job ends before.
    /// `None` when too many are asking already, or nobody listens.
    pub fn ask(&self, rows: Vec<Place>) -> Option<Receiver<Answer>> {
        let (tell, answer) = channel();
        let mut questions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if questions.len() >= QUESTIONS_MAX {
            return None;
        }
        questions.push(Question { seen: vec![None; rows.len()], rows, tell });
        Some(answer)
    }

    /// The questions that have come since the last call.
    pub(crate) fn take(&self) -> Vec<Question> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A question, and what has been answered of it.
pub(crate) struct Question {
    pub(crate) rows: Vec<Place>,
    seen: Vec<Option<Seen>>,
    tell: Sender<Answer>,
}

impl Question {
    /// Takes in what was seen of one row; whether that settles the question.
    pub(crate) fn hear(&mut self, index: usize, seen: Result<Seen, String>) -> bool {
        let answer = match seen {
            Ok(seen) => {
                if let Some(place) = self.seen.get_mut(index) {
                    *place = Some(seen);
                }
                self.seen.iter().cloned().collect::<Option<Vec<_>>>().map(Ok)
            }
            Err(error) => Some(Err(error)),
        };
        // Who asked may have lost patience.
        answer.map(|answer| drop(self.tell.send(answer))).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place::of("count", RowKey::of(name.as_bytes()))
    }

    #[test]
    fn a_question_is_settled_by_all_its_rows_or_by_an_error() {
        let window = Window::default();
        let (all, failed) = (window.ask(vec![place("a"), place("b")]).unwrap(), window.ask(vec![place("a")]).unwrap());
        let mut questions = window.take();
        assert_eq!(window.take().len(), 0);
        let (seen, other) = (Seen::new(Some(7), None), Seen::new(None, Some(vec![1])));
        assert!(!questions[0].hear(1, Ok(other.clone())));
        assert!(all.try_recv().is_err());
        assert!(questions[0].hear(0, Ok(seen.clone())));
        assert_eq!(all.try_recv(), Ok(Ok(vec![seen, other])));
        assert!(questions[1].hear(0, Err("damaged".to_owned())));
        assert_eq!(failed.try_recv(), Ok(Err("damaged".to_owned())));
    }

    #[test]
    fn not_everybody_can_ask_at_once_and_nobody_waits_for_a_job_that_has_ended() {
        let window = Window::default();
        let waiting: Vec<_> = (0..QUESTIONS_MAX).map(|_| window.ask(vec![place("a")]).unwrap()).collect();
        assert!(window.ask(vec![place("a")]).is_none());
        drop(window.take());
        assert!(waiting.iter().all(|answer| answer.recv().is_err()), "hung up on");
        assert!(window.ask(vec![place("a")]).is_some());
    }
}
