//! `unexpected_credential_testing`: an app finds out which credentials are valid.
//!
//! Rule: within an hour one app fails with calls of a method that tells whether a credential is valid, for five persons
//! or twenty times; see [`super::few`]. An app whose one token has expired, and that looks again every five minutes, stays
//! under both.
//!
//! Example: `auth.test` with `"ok":false` on behalf of five users within ten minutes raises at the fifth.

use super::few::Rule;
use crate::model::event::{Action, Event, KeyKind, Method};
use crate::model::reason::Reason;
use engine::time::Span;

/// By failures.
pub const FAILURES: Rule = Rule {
    reason: Reason::UnexpectedCredentialTesting,
    metric: "credential_failures_1h",
    bar: 20,
    window: Span::from_hours(1),
    counts,
    thing: |_| None,
    field: |_| None,
};

/// By persons.
pub const PERSONS: Rule =
    Rule { metric: "credential_persons_1h", bar: 5, thing: |event| Some(event.person), ..FAILURES };

fn counts(event: &Event) -> bool {
    event.kind == KeyKind::App && event.action == Action::ApiCall(Method::Credential) && !event.ok
}
