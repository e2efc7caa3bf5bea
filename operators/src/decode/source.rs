//! The decoder as the engine's sources call it: lines become records of detection, or lines of the dead letter and the
//! late list. Owned here: which counter each belongs to.

use super::rejection::{RejectReason, Rejection, dead_letter_line, late_line};
use super::{EventDecoder, Parsed};
use crate::detect::record::{DetectRecord, Late};
use engine::source::{Arrival, Decode, Refused};
use engine::time::{Micros, Span};
use engine::writer::Line;
use std::sync::Arc;

/// File of rejected lines.
pub const DEAD_LETTER: &str = "dead_letter.ndjson";
/// File of late events.
pub const LATE: &str = "late.ndjson";

/// Class of lines about events beyond the lateness limit.
pub const CLASS_TOO_LATE: u8 = 9;
/// Class of lines about late events that took part.
pub const CLASS_LATE_APPLIED: u8 = 10;

/// Class of dead letters of a reason: below [`CLASS_TOO_LATE`].
pub fn class_of(reason: RejectReason) -> u8 {
    RejectReason::ALL.iter().position(|known| *known == reason).unwrap_or_default() as u8
}

/// A position, and how a partition is decoded from there on. The first one counts from its beginning.
pub type Since = (u64, EventDecoder);

/// Decodes the partitions of a job, each with the settings of its source.
pub struct PartitionDecoder {
    /// Of each partition, by index.
    decoders: Vec<Vec<Since>>,
    names: Arc<[String]>,
    events: Vec<crate::model::event::Event>,
}

impl PartitionDecoder {
    /// A decoder for partitions of these names, with decoders for each, at least one, by ascending position.
    pub fn new(names: Arc<[String]>, decoders: Vec<Vec<Since>>) -> Self {
        PartitionDecoder { decoders, names, events: Vec::new() }
    }

    fn at(&mut self, arrival: Arrival) -> (&mut EventDecoder, &mut Vec<crate::model::event::Event>) {
        let decoders = &mut self.decoders[arrival.partition as usize];
        let begun = decoders.partition_point(|(from, _)| *from <= arrival.position).max(1);
        (&mut decoders[begun - 1].1, &mut self.events)
    }

    fn name(&self, arrival: Arrival) -> &str {
        self.names.get(arrival.partition as usize).map_or("", String::as_str)
    }
}

impl Decode for PartitionDecoder {
    type Record = DetectRecord;
    type Aside = Line;
    type Parsed<'a> = Parsed<'a>;
    type Rejection = Rejection;

    fn parse<'a>(&mut self, line: &'a [u8]) -> Result<(Micros, Parsed<'a>), Rejection> {
        // What a line says does not depend on its partition; only the org does, and that comes later.
        let parsed = self.decoders[0][0].1.parse(line)?;
        Ok((parsed.time(), parsed))
    }

    fn record(
        &mut self,
        _line: &[u8],
        parsed: Parsed<'_>,
        arrival: Arrival,
        out: &mut Vec<DetectRecord>,
    ) -> Result<(), Rejection> {
        let (decoder, events) = self.at(arrival);
        decoder.stamp(&parsed, arrival, events)?;
        out.extend(self.events.drain(..).map(DetectRecord::Event));
        Ok(())
    }

    fn rejected(&mut self, line: &[u8], rejection: Rejection, arrival: Arrival) -> Line {
        let body = dead_letter_line(self.name(arrival), arrival.position, &rejection, line);
        aside(DEAD_LETTER, class_of(rejection.reason), arrival, body)
    }

    fn refused(&mut self, line: &[u8], refused: Refused, arrival: Arrival) -> Line {
        let bad_time = |detail: &str| Rejection { reason: RejectReason::BadTime, detail: detail.to_owned() };
        let rejection = match refused {
            Refused::TooLarge(_) => Rejection::too_large(),
            Refused::TooFarAhead => {
                bad_time("date_create: far ahead of the others of its source, and too many such events wait already")
            }
            Refused::AheadOfClock => bad_time("date_create: more than 5 minutes ahead of the clock"),
        };
        self.rejected(line, rejection, arrival)
    }

    fn too_late(&mut self, line: &[u8], parsed: Parsed<'_>, arrival: Arrival) -> Line {
        let org = match self.at(arrival).0.org(&parsed, arrival.at) {
            Ok(org) => org.to_owned(),
            Err(rejection) => return self.rejected(line, rejection, arrival),
        };
        let (name, position) = (self.name(arrival), arrival.position);
        let body = late_line(name, position, parsed.id(), &org, arrival.behind, false);
        aside(LATE, CLASS_TOO_LATE, arrival, body)
    }
}

/// The line of a late event that took part.
pub fn late_applied(names: &[String], late: &Late) -> Line {
    let name = names.get(late.partition as usize).map_or("", String::as_str);
    let behind = Span::from_millis(late.behind_ms);
    let body = late_line(name, late.position, &late.id, &late.org, behind, true);
    let Late { at, partition, position, .. } = *late;
    aside(LATE, CLASS_LATE_APPLIED, Arrival { partition, position, at, behind }, body)
}

fn aside(file: &str, class: u8, arrival: Arrival, body: String) -> Line {
    let mut order = arrival.partition.to_be_bytes().to_vec();
    order.extend(arrival.position.to_be_bytes());
    Line { at: arrival.at, file: file.to_owned(), order, class, body }
}
