//! What runs without anybody sitting in front of it: apps that act on people's behalf, bots, and developers' own
//! scripts, which say what they are.

use super::act::{Act, App, Origin, Verb};
use super::calendar::Local;
use super::client::PYTHON;
use super::dice::Dice;
use super::life::at_precision;
use super::network::{self, Address};
use super::org::Org;
use super::person::{Person, Role};
use engine::time::{Micros, Span};

/// UTC hour at which the export app runs.
const EXPORT_HOUR: u64 = 2;

const EXPORT: App = App { id: "EXPORT", name: "Export Bridge", ua: "ExportBridge/2.1", turn: 0 };
const CALENDAR: App = App { id: "CALEND", name: "Calendar Sync", ua: "CalendarSync/5.0", turn: 0 };
const STANDUP: App = App { id: "STANDU", name: "Standup", ua: "StandupBot/3.4", turn: 0 };

/// So many people, the first of their org, have the calendar app act for them: an app is judged for all of them
/// together.
const CALENDARS: u64 = 100;

/// Adds what acts for a person in the hour that begins at `start`.
pub(super) fn hour(dice: &mut Dice, org: &Org, person: &Person, local: Local, start: Micros, out: &mut Vec<Act>) {
    let utc_hour = start.secs() / 3_600 % 24;
    if person.role == Role::Exporter && utc_hour == EXPORT_HOUR {
        export(dice, org, person, start, out);
    }
    let index = person.number as u64 % org.users;
    let working = local.is_workday() && (person.begins..person.begins + 9).contains(&local.hour);
    if index < CALENDARS && index % 8 == 1 && working {
        let at = start.plus(Span::from_secs(dice.below(3_500)));
        out.push(by_app(CALENDAR, org, person, at, Verb::Call { method: "users.profile.set" }));
    }
    if person.role == Role::Bot {
        let at = start.plus(Span::from_secs(dice.below(3_500)));
        out.push(by_app(STANDUP, org, person, at, Verb::Call { method: "chat.postMessage" }));
    }
    if person.role == Role::Developer && org.trusts_builds() && working && local.hour.is_multiple_of(2) {
        let begin = start.plus(Span::from_mins(dice.below(50)));
        for i in 0..4 {
            let sent = at_precision(org, begin.plus(Span::from_secs(i * 3)));
            let origin = script(network::build(org.index, org.country), sent);
            out.push(Act { at: sent, arrives: sent, person: person.number, verb: SCRIPTED, origin });
        }
    }
}

/// What scripts do.
pub(super) const SCRIPTED: Verb = Verb::Call { method: "conversations.list" };

/// A developer's own script, with a token of its own and no session.
pub(super) fn script(address: Address, at: Micros) -> Origin {
    let (address, client) = (Some(address), Some(PYTHON.at(at, 0)));
    Origin { address, client, claim: None, tls: None, device: None, session: None, cookie: None, app: None }
}

/// An app acts on somebody's behalf, from its own servers.
pub(super) fn by_app(app: App, org: &Org, person: &Person, at: Micros, verb: Verb) -> Act {
    let address = Some(Address { country: "IE", ..network::vpn(org.index) });
    let at = at_precision(org, at);
    let app = Some(app);
    let origin =
        Origin { address, client: None, claim: None, tls: None, device: None, session: None, cookie: None, app };
    Act { at, arrives: at, person: person.number, verb, origin }
}

/// The nightly export of an app on somebody's behalf: about the same number every night.
fn export(dice: &mut Dice, org: &Org, person: &Person, start: Micros, out: &mut Vec<Act>) {
    let mut at = start.plus(Span::from_mins(10));
    for _ in 0..dice.between(130, 140) {
        let verb = Verb::Download { file: dice.below(9_000), ok: true };
        out.push(by_app(EXPORT, org, person, at, verb));
        at = at.plus(Span::from_millis(dice.between(4_000, 12_000)));
    }
}
