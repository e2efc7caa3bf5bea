//! Why a line is rejected: the contract's checks in the contract's order, slowly and one by one. Owned here: that
//! order. Run only on lines that the one pass of `wire` refuses; on any line, it finds a reason exactly when that pass
//! refuses.

use super::members::Members;
use super::rejection::RejectReason::{NotJson, NotUtf8, TooDeep};
use super::rejection::Rejection;
use super::{DEPTH_MAX, EVENT_BYTES_MAX, value};

/// The first reason to reject a line, if there is one.
pub(super) fn diagnose(line: &[u8]) -> Option<Rejection> {
    if line.len() > EVENT_BYTES_MAX {
        return Some(Rejection::too_large());
    }
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => return Some(Rejection::whole(NotUtf8, format!("no UTF-8 at byte {}", error.valid_up_to()))),
    };
    if nests_too_deep(line) {
        return Some(Rejection::whole(TooDeep, format!("brackets nested deeper than {DEPTH_MAX}")));
    }
    match Members::of_line(text) {
        None => Some(Rejection::whole(NotJson, "must be one JSON object")),
        Some(line) => fields(&line).err(),
    }
}

/// Whether brackets outside strings are ever more than [`DEPTH_MAX`] deep, whatever else the bytes are.
pub(super) fn nests_too_deep(line: &[u8]) -> bool {
    // `[` and `{` differ in one bit. Counted in bytes, by chunks that cannot overflow one, so that it can vectorise.
    let in_chunk = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    let opening: usize = line.chunks(usize::from(u8::MAX)).map(|chunk| usize::from(in_chunk(chunk))).sum();
    opening > DEPTH_MAX && deepest(line) > DEPTH_MAX
}

fn deepest(line: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn skip_string<'a>(bytes: &mut impl Iterator<Item = &'a u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

/// The fields in the order of the contract's table.
fn fields(line: &Members<'_>) -> Result<(), Rejection> {
    line.checked("id", value::id(&line.required_text("id")?))?;
    line.checked("date_create", value::time(line.required("date_create", "date_create")?))?;
    line.checked("action", value::action(&line.required_text("action")?))?;
    actor(&line.required_object("actor", "actor.user.id")?)?;
    if let Some(entity) = line.object("entity")? {
        self::entity(&entity)?;
    }
    let context = line.required_object("context", "context.location.id")?;
    location(&context)?;
    client(&context)?;
    match line.object("details")? {
        Some(details) => self::details(&details),
        None => Ok(()),
    }
}

fn actor(actor: &Members<'_>) -> Result<(), Rejection> {
    actor.text("type")?;
    let user = actor.required_object("user", "actor.user.id")?;
    user.checked("id", value::name(&user.required_text("id")?))?;
    for name in ["name", "email", "team"] {
        user.text(name)?;
    }
    user.flag("is_external").map(drop)
}

fn entity(entity: &Members<'_>) -> Result<(), Rejection> {
    let Some(kind) = entity.text("type")?.filter(|kind| !kind.is_empty() && kind != "type") else { return Ok(()) };
    let Some(typed) = entity.object(&kind)? else { return Ok(()) };
    match typed.optional("id")? {
        Some(id) => typed.checked("id", value::scalar(id)).map(drop),
        None => Ok(()),
    }
}

fn location(context: &Members<'_>) -> Result<(), Rejection> {
    let location = context.required_object("location", "context.location.id")?;
    location.text("type")?;
    location.checked("id", value::name(&location.required_text("id")?))?;
    location.text("name")?;
    location.text("domain")?;
    match context.text("enterprise_id")?.filter(|id| !id.is_empty()) {
        Some(id) => context.checked("enterprise_id", value::name(&id)),
        None => Ok(()),
    }
}

/// What `context` says of session, address and client.
fn client(context: &Members<'_>) -> Result<(), Rejection> {
    context.text("ua")?;
    if let Some(session) = context.optional("session_id")? {
        context.checked("session_id", value::scalar(session))?;
    }
    context.text("ip_address")?;
    if let Some(app) = context.object("app")? {
        for name in ["id", "name"] {
            if let Some(text) = app.text(name)?.filter(|text| !text.is_empty()) {
                app.checked(name, value::name(&text))?;
            }
        }
    }
    context.text("tls_fingerprint")?;
    if let Some(client) = context.object("client")? {
        for name in ["name", "os", "version"] {
            client.text(name)?;
        }
    }
    context.text("device_id")?;
    if let Some(stamp) = context.optional("cookie_ts")? {
        context.checked("cookie_ts", value::time(stamp))?;
    }
    if let Some(asn) = context.optional("asn")? {
        context.checked("asn", value::asn(asn))?;
    }
    let country = context.text("country")?.unwrap_or_default();
    context.checked("country", value::country(&country))
}

fn details(details: &Members<'_>) -> Result<(), Rejection> {
    details.text("method")?;
    if let Some(bytes) = details.optional("bytes")? {
        details.checked("bytes", value::number(bytes))?;
    }
    details.flag("ok").map(drop)
}
