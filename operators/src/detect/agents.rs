//! The texts of a user's agents, for `previous_ua`, and what each claims, for rules and marks. Owned here: how a text is
//! kept small and which are kept. An event carries only its agent's hash, so a text is read from the line, and parsed,
//! when it is new to its user, and then never again.

use super::client::Print;
use super::user_agent_parser::{Claim, Version};
use crate::limits::{AGENT_BYTES_MAX, AGENTS_MAX};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What most agents are made of. Each piece is stored as one byte, its index; part of the format of a row, so pieces are
/// only ever added, and never more than 32.
const PIECES: &[&str] = &[
    "Mozilla/5.0 (",
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android ",
    "iPhone; CPU iPhone OS ",
    " like Mac OS X",
    ") AppleWebKit/537.36 (KHTML, like Gecko) ",
    ") AppleWebKit/605.1.15 (KHTML, like Gecko) ",
    "Chrome/",
    ".0.0.0",
    " Safari/537.36",
    " Mobile",
    " Edg/",
    "Version/",
    " Safari/605.1.15",
    ") Gecko/20100101 Firefox/",
    "Slack/",
    " Electron/",
    "com.tinyspeck.chatlyio/",
    "Slack_SSB/",
    "Macintosh; Intel Mac OS X ",
];

/// One agent that the user was seen with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Agent {
    print: Print,
    claim: Claim,
    #[serde(with = "super::short")]
    packed: Vec<u8>,
}

/// The agents of a user's sessions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agents(#[serde(with = "super::short")] Vec<Agent>);

impl Agents {
    /// Whether this agent is there.
    pub fn knows(&self, print: Print) -> bool {
        self.0.iter().any(|agent| agent.print == print)
    }

    /// Adds an agent by its text and what it claims. When full, those make room that `needed` does not name, which are
    /// never as many as fit.
    pub fn add(&mut self, print: Print, text: &str, claim: Claim, needed: impl Fn(Print) -> bool) {
        if self.0.len() >= AGENTS_MAX {
            self.0.retain(|agent| needed(agent.print));
        }
        self.0.push(Agent { print, claim, packed: pack(text) });
    }

    /// The text of an agent, cut to [`AGENT_BYTES_MAX`]; empty if there is none.
    pub fn text(&self, print: Print) -> String {
        self.0.iter().find(|agent| agent.print == print).map_or_else(String::new, |agent| unpack(&agent.packed))
    }

    /// What an agent claims; nothing if there is none.
    pub fn claim(&self, print: Print) -> Claim {
        self.0.iter().find(|agent| agent.print == print).map_or(Claim::default(), |agent| agent.claim)
    }

    /// All of them by print, for people: the text, and what it claims.
    pub fn view(&self) -> Value {
        let view = |agent: &Agent| {
            let family = Claim { version: Version::default(), ..agent.claim };
            let fields = json!({
                "text": unpack(&agent.packed),
                "claims": agent.claim.name(),
                "family": family.name(),
                "family_print": agent.claim.family.view(),
                "is_for_scripts": agent.claim.software.is_automation(),
            });
            (format!("{:08x}", agent.print.0), fields)
        };
        Value::Object(self.0.iter().map(view).collect())
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.0.iter().map(|agent| size_of::<Agent>() + agent.packed.capacity()).sum()
    }
}

fn pack(text: &str) -> Vec<u8> {
    let mut rest = &text[..text.floor_char_boundary(AGENT_BYTES_MAX)];
    let mut packed = Vec::with_capacity(32);
    while let Some(first) = rest.chars().next() {
        let piece = PIECES.iter().position(|piece| rest.starts_with(piece));
        let (code, width) = match piece {
            Some(index) => (index as u8, PIECES[index].len()),
            // Control characters stand for the pieces; an agent has none of its own.
            None if first.is_ascii_control() => (b' ', 1),
            None => {
                packed.extend_from_slice(&rest.as_bytes()[..first.len_utf8()]);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        packed.push(code);
        rest = &rest[width..];
    }
    packed.shrink_to_fit();
    packed
}

fn unpack(packed: &[u8]) -> String {
    let mut text = Vec::with_capacity(AGENT_BYTES_MAX);
    for byte in packed {
        match PIECES.get(*byte as usize) {
            Some(piece) => text.extend_from_slice(piece.as_bytes()),
            None => text.push(*byte),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                          Chrome/131.0.0.0 Safari/537.36";

    #[test]
    fn a_browsers_agent_takes_a_tenth() {
        assert_eq!(unpack(&pack(CHROME)), CHROME);
        assert!(pack(CHROME).len() <= 12, "{}", pack(CHROME).len());
        assert!(PIECES.len() <= 32);
    }

    #[test]
    fn needed_agents_stay_when_others_flood() {
        let mut agents = Agents::default();
        agents.add(Print(1), CHROME, Claim::default(), |_| false);
        for n in 2..1_000 {
            agents.add(Print(n), "flood", Claim::default(), |print| print == Print(1));
            assert!(agents.0.len() <= AGENTS_MAX);
        }
        assert_eq!(agents.text(Print(1)), CHROME);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_cut_and_without_control_characters(text in "(\\PC|[\\x00-\\x7f]|Chrome/|Slack/){0,300}") {
            let cut = &text[..text.floor_char_boundary(AGENT_BYTES_MAX)];
            let plain: String = cut.chars().map(|c| if c.is_ascii_control() { ' ' } else { c }).collect();
            prop_assert_eq!(unpack(&pack(&text)), plain);
        }
    }
}
