//! The strings of an event, read again from its line when something is raised. Owned here: what of a line goes into
//! anomalies, and that it is bounded.

use super::report::report;
use super::value::scalar;
use super::wire::{Line, Object, Text};
use crate::model::event::{Event, EventText, Person, Place};

/// Most bytes of any string in an [`EventText`]; what is longer is cut at a character.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// The longest head of `text` that has at most `bytes_max` bytes and ends at a character.
pub fn clip(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The strings of an event. Each has at most [`TEXT_BYTES_MAX`] bytes; an empty optional one is absent.
pub fn read_text(event: &Event) -> EventText {
    let line = std::str::from_utf8(event.line()).unwrap_or_default();
    let Ok(Object(wire)) = serde_json::from_str::<Object<Line<'_>>>(line) else { return EventText::default() };
    let (user, context) = (wire.actor.0.user.0, wire.context.0);
    let place = context.location.0;
    let (app_id, app_name) = context.app.map_or((None, None), |app| (app.0.id, app.0.name));
    let (name, os, version) = context.client.map_or((None, None, None), |c| (c.0.name, c.0.os, c.0.version));
    let session = context.session_id.and_then(|json| scalar(json.get()).ok());
    EventText {
        id: cut(&wire.id.0),
        action: cut(&wire.action.0),
        actor: Person { id: cut(&user.id.0), name: plain(user.name), email: plain(user.email), team: plain(user.team) },
        location: Place {
            kind: plain(place.kind),
            id: cut(&place.id.0),
            name: plain(place.name),
            domain: plain(place.domain),
        },
        ua: plain(context.ua),
        session_id: session.filter(|session| !session.is_empty()).map(|session| cut(&session)),
        ip_address: plain(context.ip_address),
        app: said(app_id).or_else(|| said(app_name)),
        tls_fingerprint: said(context.tls_fingerprint),
        client_name: said(name),
        client_os: said(os),
        client_version: said(version),
        device_id: said(context.device_id),
        country: said(context.country),
        method: wire.details.and_then(|details| said(details.0.method)),
        report: report(line),
    }
}

pub(super) fn cut(text: &str) -> String {
    clip(text, TEXT_BYTES_MAX).to_owned()
}

fn plain(text: Option<Text<'_>>) -> String {
    text.map(|text| cut(&text.0)).unwrap_or_default()
}

fn said(text: Option<Text<'_>>) -> Option<String> {
    text.filter(|text| !text.0.is_empty()).map(|text| cut(&text.0))
}
