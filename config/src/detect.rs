//! `[detect]`: what volume rules ask for before they raise anything, and how user agents are read.

use crate::read::{self, Section};
use std::path::PathBuf;

/// What detection asks for, by reason.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Detect {
    /// `unexpected_api_call_volume`.
    pub unexpected_api_call_volume: Volume,
    /// `excessive_downloads`.
    pub excessive_downloads: Volume,
    /// `excessive_file_shares`.
    pub excessive_file_shares: Volume,
    /// `search_volume`.
    pub search_volume: Volume,
    /// `unexpected_message_deletion`.
    pub unexpected_message_deletion: Volume,
    /// Distinct things read, of `unexpected_scraping`.
    pub unexpected_scraping: Volume,
    /// Regexes by which user agents are read, in the form of uap-core's file; those that are shipped if none.
    pub user_agents: Option<PathBuf>,
}

/// How the threshold of a volume rule is made: the larger of `floor` and `margin` times a high quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Volume {
    /// No threshold is ever under this count in a window.
    pub floor: u64,
    /// What the quantile is multiplied with; at least 1.
    pub margin: f64,
    /// The quantile that is assumed while an org has few samples of its own, a count in a window.
    pub prior: u64,
    /// The threshold while it has so few that they tell next to nothing, a count in a window.
    pub untaught: u64,
}

pub(crate) fn read(detect: &mut Section<'_>) -> Option<Detect> {
    let unexpected_api_call_volume = detect.section("unexpected_api_call_volume", read_volume);
    let excessive_downloads = detect.section("excessive_downloads", read_volume);
    let excessive_file_shares = detect.section("excessive_file_shares", read_volume);
    let search_volume = detect.section("search_volume", read_volume);
    let unexpected_message_deletion = detect.section("unexpected_message_deletion", read_volume);
    let unexpected_scraping = detect.section("unexpected_scraping", read_volume);
    let user_agents = detect.read_if_set("user_agents", read::path);
    Some(Detect {
        unexpected_api_call_volume: unexpected_api_call_volume?,
        excessive_downloads: excessive_downloads?,
        excessive_file_shares: excessive_file_shares?,
        search_volume: search_volume?,
        unexpected_message_deletion: unexpected_message_deletion?,
        unexpected_scraping: unexpected_scraping?,
        user_agents: user_agents?,
    })
}

fn read_volume(section: &mut Section<'_>) -> Option<Volume> {
    const COUNT_MAX: u64 = 1_000_000_000;
    let floor = section.read("floor", read::count(1..=COUNT_MAX));
    let margin = section.read("margin", read::number(1.0..=100.0));
    let prior = section.read("prior", read::count(1..=COUNT_MAX));
    let untaught = section.read("untaught", read::count(1..=COUNT_MAX));
    Some(Volume { floor: floor?, margin: margin?, prior: prior?, untaught: untaught? })
}
