//! `unexpected_admin_action`: an admin does what they never did, from where or when they never did anything.
//!
//! Rule: an administrative action of a kind that the user took on fewer than two earlier days, and at least two clues:
//! an hour of the day (UTC) in which, or beside which, the user was active on fewer than three earlier days; a network
//! that the user was never seen in on an earlier day; a client of which no mark is known; five kinds that are new within
//! an hour. Nothing before the user was active on five earlier days.
//!
//! One clue alone is honest life: a night shift, a trip, a new laptop, a migration. So is an admin's first week. What
//! raised this, or happened under a case of it, is not learned, nor what nothing vouches for: a network that is not
//! known, with a client that is not known either or at a cloud provider's, once the user is known by another network.
//! So a thief's days do not become usual, whatever other rules say of them.
//!
//! State only of users who take such actions or whom the directory calls admins: on how many days they were active in
//! each hour, and on how many they took each kind of action, at most [`ADMIN_KINDS_MAX`]. Days are counted without
//! today.
//!
//! Example: the first `role_change_to_owner` at 03:00 UTC from an unknown network raises; at 10:00 it does not.

use super::client::Print;
use super::few::{self, Count, Crowd, Few};
use super::marks::day;
use super::volume::Source;
use crate::limits::{ADMIN_DAYS, ADMIN_HOUR_DAYS, ADMIN_KIND_DAYS, ADMIN_KINDS_MAX};
use crate::model::anomaly::Evidence;
use crate::model::event::{Action, EventText};
use crate::model::reason::Reason;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How many kinds that are new are a clue.
const NEW_KINDS: few::Rule = few::Rule {
    reason: Reason::UnexpectedAdminAction,
    metric: "new_admin_kinds_1h",
    bar: 5,
    window: Span::from_hours(1),
    counts: |event| matches!(event.action, Action::Administrative(_)),
    thing: |_| None,
    field: |_| None,
};

/// How many clues make an action unexpected.
const CLUES: usize = 2;

/// What is unusual about an administrative action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clues {
    /// Days of history that it was held against.
    pub days: u8,
    /// The hour, if it is one.
    pub hour: Option<u8>,
    /// The network is new.
    pub network: bool,
    /// The client is not known.
    pub client: bool,
    /// Many kinds are new.
    pub kinds: Option<Crowd>,
}

/// When a user is active, and which administrative actions they take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AdminHistory {
    /// Earlier days on which the user was active in each hour.
    hours: [u8; 24],
    /// Earlier days on which the user was active.
    days: u8,
    today: u16,
    /// Hours of today, as bits.
    hours_today: u32,
    #[serde(with = "super::short")]
    kinds: Vec<Kind>,
    /// New kinds of late.
    fresh: Few,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Kind {
    print: Print,
    days: u8,
    last_day: u16,
}

/// What is known from elsewhere of where an action came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// There is a network, and the user was never seen in it on an earlier day.
    pub strange_network: bool,
    /// There are marks of a client, and none of them is known.
    pub strange_client: bool,
}

impl AdminHistory {
    /// Judges an administrative action; `counted` holds its kind as the thing that counts.
    pub fn check(&mut self, counted: &Count, origin: Origin, has_case: impl Fn(Source) -> bool) -> Option<Clues> {
        let today = day(counted.time);
        self.turn(today);
        if self.is_usual(counted.thing, today) {
            return None;
        }
        let kinds = self.fresh.check(&NEW_KINDS, counted, has_case);
        let hour = hour(counted.time);
        let clues = Clues {
            days: self.days,
            hour: (!self.is_active_around(hour)).then_some(hour),
            network: origin.strange_network,
            client: origin.strange_client,
            kinds,
        };
        (self.days >= ADMIN_DAYS && clues.count() >= CLUES).then_some(clues)
    }

    /// Takes up activity, and the kind of action if it was an administrative one.
    pub fn learn(&mut self, time: Micros, kind: Option<Print>) {
        let today = day(time);
        self.turn(today);
        if today == self.today {
            self.hours_today |= 1 << hour(time);
        }
        let Some(print) = kind else { return };
        match self.kinds.iter().position(|kind| kind.print == print) {
            Some(place) => self.kinds[place].count(today),
            None if self.kinds.len() < ADMIN_KINDS_MAX => self.kinds.push(Kind { print, days: 1, last_day: today }),
            None => {}
        }
    }

    /// Once a day is over, it counts.
    fn turn(&mut self, today: u16) {
        if today <= self.today {
            return;
        }
        for (hour, days) in self.hours.iter_mut().enumerate() {
            *days = days.saturating_add((self.hours_today >> hour & 1) as u8);
        }
        self.days = self.days.saturating_add(u8::from(self.hours_today != 0));
        (self.today, self.hours_today) = (today, 0);
    }

    fn is_usual(&self, print: Print, today: u16) -> bool {
        self.kinds.iter().any(|kind| kind.print == print && kind.earlier_days(today) >= ADMIN_KIND_DAYS)
    }

    fn is_active_around(&self, hour: u8) -> bool {
        [23, 0, 1].into_iter().any(|step| self.hours[usize::from(hour + step) % 24] >= ADMIN_HOUR_DAYS)
    }

    /// All of it, for people.
    pub fn view(&self) -> Value {
        let kind = |kind: &Kind| {
            let last_day_us = u64::from(kind.last_day) * Span::from_days(1).0;
            (format!("{:08x}", kind.print.0), json!({"days": kind.days, "last_day_us": last_day_us}))
        };
        json!({
            "active_days": self.days,
            "active_days_by_hour_utc": self.hours,
            "kinds": Value::Object(self.kinds.iter().map(kind).collect()),
        })
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.kinds.capacity() * size_of::<Kind>() + self.fresh.weight()
    }
}

impl Kind {
    fn count(&mut self, today: u16) {
        if self.last_day < today {
            self.days = self.days.saturating_add(1);
            self.last_day = today;
        }
    }

    fn earlier_days(&self, today: u16) -> u8 {
        self.days - u8::from(self.last_day >= today)
    }
}

impl Clues {
    fn count(&self) -> usize {
        [self.hour.is_some(), self.network, self.client, self.kinds.is_some()].into_iter().filter(|clue| *clue).count()
    }

    /// What to show for them, given the strings of the event.
    pub fn evidence(&self, text: &EventText) -> Vec<Evidence> {
        let piece = |metric: &str, observed: String, threshold: String| Evidence {
            reason: Reason::UnexpectedAdminAction.code().to_owned(),
            metric: metric.to_owned(),
            observed,
            threshold,
            threshold_source: "history".to_owned(),
            samples: Some(u64::from(self.days)),
            event_ids: vec![text.id.clone()],
            ..Evidence::default()
        };
        let days = |days: u8| format!("{days} earlier days");
        let measured = [&text.client_name, &text.client_os].map(|part| part.as_deref().unwrap_or_default()).join(" ");
        let client = if measured.trim().is_empty() { text.ua.clone() } else { measured.trim().to_owned() };
        let mut evidence = vec![piece("admin_action", text.action.clone(), days(ADMIN_KIND_DAYS))];
        evidence.extend(self.hour.map(|hour| piece("hour_of_day_utc", hour.to_string(), days(ADMIN_HOUR_DAYS))));
        evidence.extend(self.network.then(|| piece("network", text.ip_address.clone(), "seen before".to_owned())));
        evidence.extend(self.client.then(|| piece("client", client, "known".to_owned())));
        evidence.extend(self.kinds.iter().flat_map(|crowd| few::evidence(&NEW_KINDS, crowd, text)));
        evidence
    }
}

/// The hour of the day, UTC.
fn hour(time: Micros) -> u8 {
    (time.0 / Span::from_hours(1).0 % 24) as u8
}
