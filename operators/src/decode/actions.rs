//! The catalogue of action names. Owned here: which names are known. Not owned here: what a detector makes of one.
//!
//! The names are Slack's usual ones, as its documentation gives them, and three of ours: `api_call`, `message_deleted` and
//! `anomaly_case_closed`. Slack's list is longer and grows, so a name outside ours is kept and counted, never refused.

use crate::model::event::Action;
use engine::key::Map;

/// Looks up what an action name means to the detectors.
#[derive(Debug)]
pub struct Catalogue(Map<&'static str, Action>);

impl Default for Catalogue {
    fn default() -> Self {
        let known = |name| (name, Action::of_known(name));
        Catalogue(KNOWN.lines().map(known).collect())
    }
}

impl Catalogue {
    /// What the name means; [`Action::Unknown`] if it is not in the catalogue.
    pub fn action(&self, name: &str) -> Action {
        self.0.get(name).copied().unwrap_or(Action::Unknown)
    }
}

/// One name a line, in the order of their bytes.
const KNOWN: &str = include_str!("actions.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_without_repetition() {
        let names: Vec<&str> = KNOWN.lines().collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains(char::is_whitespace)));
    }

    #[test]
    fn names_mean_what_the_model_says() {
        let catalogue = Catalogue::default();
        assert_eq!(catalogue.action("file_downloaded"), Action::FileDownloaded);
        assert_eq!(catalogue.action("anomaly"), Action::Anomaly);
        assert_eq!(catalogue.action("user_login"), Action::Other);
        assert_eq!(catalogue.action("api_call"), Action::Other);
        assert_eq!(catalogue.action("message_deleted"), Action::Other);
        assert_eq!(catalogue.action("user_logni"), Action::Unknown);
        assert_eq!(catalogue.action(""), Action::Unknown);
    }
}
