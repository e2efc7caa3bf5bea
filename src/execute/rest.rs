//! Who has asked to be left alone, and for how long: what one of their calls was told holds for the others too. Owned
//! here: when a call is not made. Not owned here: whom an answer speaks for (each caller), and what becomes of the step.

use super::answer::Answer;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Until when each is left alone, in milliseconds since 1970. May be shared between threads.
#[derive(Debug, Default)]
pub(super) struct Rests(Mutex<BTreeMap<String, u64>>);

impl Rests {
    /// Makes a call, unless `whom` it would reach has asked to be left alone; hears whether they ask it now.
    pub(super) fn unless(&self, whom: &str, now_ms: u64, call: impl FnOnce() -> Answer) -> Answer {
        if let Some(wait) = self.left(whom, now_ms) {
            return Answer::NotTried { wait };
        }
        let answer = call();
        if let Answer::NotDone { retry_after: Some(wait), .. } = &answer {
            let until = now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            rests.retain(|_, until| *until > now_ms);
            rests.insert(whom.to_owned(), until);
        }
        answer
    }

    /// For how long they are still to be left alone.
    fn left(&self, whom: &str, now_ms: u64) -> Option<Duration> {
        let rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = rests.get(whom)?.checked_sub(now_ms).filter(|left| *left > 0)?;
        Some(Duration::from_millis(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_to_be_left_alone_is_and_nobody_else() {
        let rests = Rests::default();
        let asks =
            |secs| move || Answer::NotDone { error: String::new(), retry_after: Some(Duration::from_secs(secs)) };
        let done = || Answer::Done { detail: None };
        let wait = |ms| Answer::NotTried { wait: Duration::from_millis(ms) };
        assert_eq!(rests.unless("a", 1_000, asks(5)), asks(5)());
        assert_eq!(rests.unless("a", 1_001, || unreachable!("nobody is called")), wait(4_999));
        assert_eq!(rests.unless("b", 1_001, done), done());
        assert_eq!(rests.unless("a", 6_000, done), done());
        let busy = || Answer::NotDone { error: String::new(), retry_after: None };
        assert_eq!(rests.unless("a", 6_000, busy), busy());
        assert_eq!(rests.unless("a", 6_001, asks(0)), asks(0)());
        assert_eq!(rests.unless("a", 6_001, done), done());
    }
}
