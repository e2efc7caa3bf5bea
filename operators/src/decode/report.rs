//! What an anomaly that was found elsewhere says of itself, in `details` as Slack has them. Owned here: that what is of
//! another shape says nothing, and that all of it is bounded.

use super::members::Members;
use super::text::cut;
use super::value::scalar;
use super::wire::Text;
use crate::model::event::Report;
use engine::time::Micros;

/// Most reasons that are read; the catalogue has 18. So many items are read of any list.
pub const REPORT_REASONS_MAX: usize = 32;

/// Fields that single reasons bring along and that are a text or a list of texts.
const PARTICULARS: [&str; 5] =
    ["ip_address_details", "scraping_tool", "detected_client", "detected_os", "api_call_method"];

/// Reads `details` of a line.
pub(super) fn report(line: &str) -> Report {
    let details = Members::of_line(line).and_then(|line| line.object("details").ok()?);
    let Some(details) = details else { return Report::default() };
    let text = |name| details.text(name).ok().flatten().map(|text| cut(&text)).unwrap_or_default();
    let particular = |name: &&str| {
        let items = list(&details, name).join(",");
        (!items.is_empty()).then(|| ((*name).to_owned(), cut(&items)))
    };
    Report {
        reasons: list(&details, "reason"),
        acted: details.optional("action_timestamp").ok().flatten().and_then(moment),
        location: text("location"),
        previous_ip_address: text("previous_ip_address"),
        previous_ua: text("previous_ua"),
        particulars: PARTICULARS.iter().filter_map(particular).collect(),
    }
}

/// A list of texts, or one text as some writers have it. What is neither says nothing.
fn list(details: &Members<'_>, name: &str) -> Vec<String> {
    let Ok(Some(json)) = details.optional(name) else { return Vec::new() };
    let items = match serde_json::from_str::<Vec<Text<'_>>>(json) {
        Ok(items) => items,
        Err(_) => serde_json::from_str(json).map(|item| vec![item]).unwrap_or_default(),
    };
    items.iter().take(REPORT_REASONS_MAX).map(|item| cut(&item.0)).collect()
}

/// Unix time in seconds, milliseconds or microseconds, which is told by its size.
fn moment(json: &str) -> Option<Micros> {
    let number: u64 = scalar(json).ok()?.parse().ok()?;
    let unit = match number {
        0..100_000_000_000 => 1_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000,
        _ => 1,
    };
    Some(Micros(number * unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(details: &Value) -> Report {
        report(&json!({ "id": "1", "details": details }).to_string())
    }

    #[test]
    fn details_are_read_as_slack_writes_them() {
        let read = of(&json!({
            "action_timestamp": 1_644_428_253_989_994_u64, "location": "Reno, Nevada",
            "previous_ip_address": "203.0.113.9", "previous_ua": "", "reason": ["ip_address", "asn"],
            "ip_address_details": ["cloud-asn", "new-asn"], "scraping_tool": "Go-based tool",
            "user_agent_change_details": {"a": 1}, "detected_os": null}));
        let particulars = [("ip_address_details", "cloud-asn,new-asn"), ("scraping_tool", "Go-based tool")];
        assert_eq!(
            read,
            Report {
                reasons: vec!["ip_address".to_owned(), "asn".to_owned()],
                acted: Some(Micros(1_644_428_253_989_994)),
                location: "Reno, Nevada".to_owned(),
                previous_ip_address: "203.0.113.9".to_owned(),
                previous_ua: String::new(),
                particulars: particulars.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec(),
            }
        );
    }

    #[test]
    fn a_moment_is_told_by_its_size() {
        let acted = |moment: Value| of(&json!({ "action_timestamp": moment })).acted.map(|acted| acted.0);
        let micros = Some(1_644_428_253_000_000);
        assert_eq!(acted(json!(1_644_428_253)), micros);
        assert_eq!(acted(json!(1_644_428_253_000_u64)), micros);
        assert_eq!(acted(json!("1644428253000000")), micros);
        assert_eq!([json!(-1), json!("now"), json!(1.5), json!({}), json!(null)].map(acted), [None; 5]);
    }

    #[test]
    fn what_is_of_another_shape_says_nothing_and_what_is_much_is_cut() {
        for details in
            [json!(null), json!("x"), json!([]), json!({"reason": {"tor": 1}, "location": 7, "previous_ua": []})]
        {
            assert_eq!(of(&details), Report::default(), "{details}");
        }
        let much = of(&json!({ "reason": vec!["tor"; 100], "scraping_tool": vec!["x".repeat(900); 100] }));
        assert_eq!((much.reasons.len(), much.particulars[0].1.len()), (REPORT_REASONS_MAX, 1_024));
    }
}
