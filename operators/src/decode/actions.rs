//! The catalogues of action names and API methods. Owned here: which names are known. Not owned here: what a detector
//! makes of one.
//!
//! The actions are Slack's usual ones, as its documentation gives them, and three of ours: `api_call`, `message_deleted`
//! and `anomaly_case_closed`. Slack's list is longer and grows, so a name outside ours is kept and counted, never refused.
//! An action that only an admin takes has `admin` behind its name, a method the word for what it does.

use crate::model::event::{Action, Method};
use engine::key::Map;

/// Looks up what action names and API methods mean to the detectors.
#[derive(Debug)]
pub struct Catalogue {
    /// By name, whether it is administrative.
    actions: Map<&'static str, bool>,
    methods: Map<&'static str, Method>,
}

impl Default for Catalogue {
    fn default() -> Self {
        let words = |line: &'static str| line.split_once(' ').unwrap_or((line, ""));
        let actions = ACTIONS.lines().map(words).map(|(name, word)| (name, word == "admin")).collect();
        let methods = METHODS.lines().map(words).map(|(name, word)| (name, method(word))).collect();
        Catalogue { actions, methods }
    }
}

impl Catalogue {
    /// What the name means, given what an API call calls; [`Action::Unknown`] if it is not in the catalogue.
    pub fn action(&self, name: &str, called: Option<&str>) -> Action {
        let method = || called.and_then(|called| self.methods.get(called)).copied().unwrap_or(Method::Other);
        self.actions.get(name).map_or(Action::Unknown, |admin| Action::of_known(name, *admin, method()))
    }
}

/// The names of what only an admin does.
pub fn administrative() -> impl Iterator<Item = &'static str> {
    ACTIONS.lines().filter_map(|line| line.strip_suffix(" admin"))
}

fn method(word: &str) -> Method {
    match word {
        "search" => Method::Search,
        "read" => Method::Read,
        "delete" => Method::Delete,
        "share" => Method::Share,
        "publish" => Method::Publish,
        "credential" => Method::Credential,
        _ => Method::Other,
    }
}

/// A name and perhaps `admin` on a line, in the order of their bytes.
const ACTIONS: &str = include_str!("actions.txt");

/// A method and what it does on a line, in the order of their bytes.
const METHODS: &str = include_str!("methods.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_without_repetition() {
        for list in [ACTIONS, METHODS] {
            let names: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(names.iter().all(|name| !name.is_empty()));
        }
        assert!(ACTIONS.lines().all(|line| line.split(' ').nth(1).is_none_or(|word| word == "admin")));
        let administrative = ACTIONS.lines().filter(|line| line.ends_with(" admin")).count();
        assert!(2 * administrative <= crate::limits::ADMIN_KINDS_MAX, "{administrative}");
        assert!(METHODS.lines().all(|line| method(line.split(' ').nth(1).unwrap()) != Method::Other));
    }

    #[test]
    fn names_mean_what_the_model_says() {
        let catalogue = Catalogue::default();
        assert_eq!(catalogue.action("file_downloaded", None), Action::FileDownloaded);
        assert_eq!(catalogue.action("anomaly", None), Action::Anomaly);
        assert_eq!(catalogue.action("user_channel_join", Some("search.all")), Action::Other);
        assert_eq!(catalogue.action("api_call", Some("search.all")), Action::ApiCall(Method::Search));
        assert_eq!(catalogue.action("api_call", Some("search.al")), Action::ApiCall(Method::Other));
        assert_eq!(catalogue.action("api_call", None), Action::ApiCall(Method::Other));
        assert_eq!(catalogue.action("message_deleted", None), Action::MessageDeleted);
        assert!(matches!(catalogue.action("role_change_to_owner", None), Action::Administrative(_)));
        assert_ne!(catalogue.action("role_change_to_owner", None), catalogue.action("owner_transferred", None));
        assert_eq!(catalogue.action("user_logni", None), Action::Unknown);
        assert_eq!(catalogue.action("", None), Action::Unknown);
    }
}
