//! In which countries a user's clients were, to tell travel that no client can make. Owned here: where each client was
//! last, and what its jumps say of it. Whose events count is decided where events are applied.
//!
//! Each client is held against itself: a laptop abroad while the phone still goes out at home is an ordinary trip. A
//! client that jumps between countries in honest life (a VPN that leaves elsewhere, a border within reach) proves nothing
//! by jumping, for as long as marks are remembered.

use super::client::Print;
use super::marks::day;
use crate::limits::{MARK_IDLE_DAYS, TRAVEL, WHEREABOUTS_MAX};
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A country, as two capital letters.
pub type Country = [u8; 2];

/// Where one client was last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Stay {
    client: Print,
    country: Country,
    second: u32,
    /// Day of the last jump, zero if there was none.
    jumped: u16,
}

/// The whereabouts of a user's clients, at most [`WHEREABOUTS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Whereabouts(#[serde(with = "super::short")] Vec<Stay>);

/// From one country to another in too short a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Travel {
    /// Where the client was.
    pub from: Country,
    /// Where it is.
    pub to: Country,
    /// When it was there.
    pub left: Micros,
}

impl Whereabouts {
    /// Whether the client cannot have come so far. What is older than its last stay cannot be judged.
    pub fn check(&self, client: Print, country: Country, time: Micros) -> Option<Travel> {
        let stay = self.0.iter().find(|stay| client.is_some() && stay.client == client)?;
        let jumps = stay.jumped > 0 && day(time) <= stay.jumped.saturating_add(MARK_IDLE_DAYS);
        let travel = Travel { from: stay.country, to: country, left: Micros::from_secs(u64::from(stay.second)) };
        (!jumps && stay.is_too_far(country, time.secs() as u32)).then_some(travel)
    }

    /// Notes where a client is.
    pub fn learn(&mut self, client: Print, country: Country, time: Micros) {
        let second = time.secs() as u32;
        if !client.is_some() {
            return;
        }
        if let Some(stay) = self.0.iter_mut().find(|stay| stay.client == client) {
            if stay.is_too_far(country, second) {
                stay.jumped = day(time);
            }
            if stay.second <= second {
                (stay.country, stay.second) = (country, second);
            }
            return;
        }
        if self.0.len() >= WHEREABOUTS_MAX {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, stay)| (stay.second, stay.client));
            let place = oldest.expect("a full list has one").0;
            self.0.remove(place);
        }
        self.0.push(Stay { client, country, second, jumped: 0 });
    }

    /// All of them by client, for people.
    pub fn view(&self) -> Value {
        let view = |stay: &Stay| {
            let fields = json!({
                "country": name(stay.country),
                "seen_us": u64::from(stay.second) * 1_000_000,
                "jumped_day_us": (stay.jumped > 0).then(|| u64::from(stay.jumped) * Span::from_days(1).0),
            });
            (format!("{:08x}", stay.client.0), fields)
        };
        Value::Object(self.0.iter().map(view).collect())
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.0.capacity() * size_of::<Stay>()
    }
}

impl Stay {
    fn is_too_far(&self, country: Country, second: u32) -> bool {
        country != self.country && second >= self.second && u64::from(second - self.second) * 1_000_000 < TRAVEL.0
    }
}

/// The country as text.
pub fn name(country: Country) -> String {
    String::from_utf8_lossy(&country).into_owned()
}
