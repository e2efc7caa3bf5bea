//! `potential_spam`: one disruptive API method is called again and again.
//!
//! Rule: 30 calls within an hour, by a person, of methods that publish something to everybody; see [`super::few`]. The
//! catalogue of methods has one of them, which `api_call_method` names.
//!
//! Example: `functions.workflows.publish` every two minutes raises at the thirtieth; every three minutes never.

use super::few::Rule;
use crate::model::event::{Action, Event, KeyKind, Method};
use crate::model::reason::Reason;
use engine::time::Span;

/// The rule.
pub const RULE: Rule = Rule {
    reason: Reason::PotentialSpam,
    metric: "publish_calls_1h",
    bar: 30,
    window: Span::from_hours(1),
    counts,
    thing: |_| None,
    field: |text| text.method.clone().map(|method| ("api_call_method", method)),
};

fn counts(event: &Event) -> bool {
    event.action == Action::ApiCall(Method::Publish) && event.kind == KeyKind::User && !event.by_app
}
