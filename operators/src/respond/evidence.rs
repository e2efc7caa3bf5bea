//! How evidence reads in an entry: numbers as numbers, and the fields of Slack's own that a reason brings along.

use crate::model::anomaly::Evidence;
use serde::{Serialize, Serializer};

/// What was observed or held against: a JSON number where the text is one, else a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed<'a>(pub &'a str);

/// Digits that a 64-bit float holds exactly, so that no number changes on the way.
const DIGITS_EXACT: usize = 15;

impl Observed<'_> {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the text is the plain form of a decimal number: no exponent, no leading zero, no sign but a minus.
    fn is_number(self) -> bool {
        let digits = self.0.strip_prefix('-').unwrap_or(self.0);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let decimal = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.len() <= DIGITS_EXACT && decimal(whole) && decimal(fraction) && (whole == "0" || !whole.starts_with('0'))
    }
}

impl Serialize for Observed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.is_number() {
            serializer.serialize_str(self.0)
        } else if let Ok(whole) = self.0.parse::<i64>() {
            serializer.serialize_i64(whole)
        } else {
            self.0.parse::<f64>().map_err(serde::ser::Error::custom)?.serialize(serializer)
        }
    }
}

/// The fields of Slack's catalogue that single reasons add to `details`. They are evidence whose metric has the name
/// of the field; `user_agent_change_details` holds what it changed from as its threshold.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Particulars<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ip_address_details: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scraping_tool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detected_client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detected_os: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_call_method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent_change_details: Option<AgentChange<'a>>,
}

/// What a user agent changed from and to.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct AgentChange<'a> {
    from: &'a str,
    to: &'a str,
}

impl<'a> Particulars<'a> {
    /// The fields that the evidence gives; the first piece of each wins.
    pub fn of(evidence: &'a [Evidence]) -> Self {
        let mut fields = Particulars::default();
        for piece in evidence {
            let observed = piece.observed.as_str();
            let text = |field: &mut Option<&'a str>| *field = field.or(Some(observed));
            match piece.metric.as_str() {
                "ip_address_details" => fields.ip_address_details.extend(observed.split(',').map(str::trim)),
                "scraping_tool" => text(&mut fields.scraping_tool),
                "detected_client" => text(&mut fields.detected_client),
                "detected_os" => text(&mut fields.detected_os),
                "api_call_method" => text(&mut fields.api_call_method),
                "user_agent_change_details" if fields.user_agent_change_details.is_none() => {
                    fields.user_agent_change_details = Some(AgentChange { from: &piece.threshold, to: observed });
                }
                _ => {}
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimal_numbers_become_numbers() {
        let json = |text| serde_json::to_string(&Observed(text)).unwrap();
        for number in ["0", "42", "-7", "1.5", "0.25", "123456789012345"] {
            assert_eq!(json(number), number);
        }
        for text in ["", "-", "007", "1e9", "1.", ".5", "+1", "NaN", "inf", "1,000", "1234567890123456", "0x1f", "٣"] {
            assert_eq!(json(text), format!("\"{text}\""));
        }
    }
}
