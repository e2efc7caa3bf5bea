//! How a response relates to the earlier ones of the same user: is the honest user being thrown out again, or does
//! the attack go on?

use crate::limits::RESPONSE_RECENT;
use crate::model::anomaly::{Mark, MarkKind};
use crate::model::decision::Verdict;
use crate::model::reason::Reason;
use engine::time::Micros;

/// The verdict on one reason at `now`, where `answered` is the time of the last response to the user. With several
/// reasons the largest counts: one reason whose marks are a stranger's is enough.
pub fn verdict(reason: Reason, marks: &[Mark], answered: Option<Micros>, now: Micros) -> Verdict {
    match answered {
        Some(last) if now.since(last) < RESPONSE_RECENT => {
            let honest = marks.iter().filter(|mark| !is_about(reason, mark.kind)).all(|mark| mark.known);
            if honest { Verdict::Repeat } else { Verdict::Persisting }
        }
        _ => Verdict::First,
    }
}

/// Whether a reason is itself about a mark. Such a mark is unusual by definition, so it tells nothing of who it is.
fn is_about(reason: Reason, mark: MarkKind) -> bool {
    match reason {
        Reason::Tor | Reason::Asn | Reason::IpAddress => mark == MarkKind::Network,
        Reason::UnexpectedScraping
        | Reason::UserAgent
        | Reason::UnexpectedUserAgent
        | Reason::SpoofedUserAgent
        | Reason::UnexpectedClient => matches!(mark, MarkKind::Tls | MarkKind::Client),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros::from_secs(1_767_225_600);

    fn marks(tls: bool, client: bool, network: bool) -> Vec<Mark> {
        [(MarkKind::Tls, tls), (MarkKind::Client, client), (MarkKind::Network, network)]
            .map(|(kind, known)| Mark { kind, known })
            .to_vec()
    }

    #[test]
    fn a_response_is_recent_for_a_day() {
        let at = |last| verdict(Reason::Tor, &marks(true, true, true), last, NOW);
        assert_eq!(at(None), Verdict::First);
        assert_eq!(at(Some(NOW.minus(RESPONSE_RECENT))), Verdict::First);
        assert_eq!(at(Some(Micros(NOW.minus(RESPONSE_RECENT).0 + 1))), Verdict::Repeat);
        assert_eq!(at(Some(NOW)), Verdict::Repeat);
    }

    #[test]
    fn the_marks_that_a_reason_is_about_do_not_count() {
        let at = |reason, marks: &[Mark]| verdict(reason, marks, Some(NOW), NOW);
        use Verdict::{Persisting, Repeat};
        for (reason, marks, expected) in [
            (Reason::Tor, marks(true, true, false), Repeat),
            (Reason::Tor, marks(true, false, true), Persisting),
            (Reason::Tor, marks(false, true, true), Persisting),
            (Reason::UnexpectedScraping, marks(false, false, true), Repeat),
            (Reason::UnexpectedScraping, marks(true, true, false), Persisting),
            (Reason::SpoofedUserAgent, marks(false, false, true), Repeat),
            (Reason::UnexpectedUserAgent, marks(false, false, false), Persisting),
            (Reason::ExcessiveDownloads, marks(true, true, true), Repeat),
            (Reason::ExcessiveDownloads, marks(true, true, false), Persisting),
            (Reason::SessionFingerprint, marks(false, true, true), Persisting),
            (Reason::UnexpectedApiCallVolume, Vec::new(), Repeat),
            (Reason::Tor, vec![Mark { kind: MarkKind::Network, known: false }], Repeat),
        ] {
            assert_eq!(at(reason, &marks), expected, "{reason} {marks:?}");
        }
    }
}
