//! Every bound of the domain, with its reason. Defaults that an org or job can change are in the settings instead.

use engine::time::Span;

/// Most event ids that one piece of evidence lists.
pub const EVIDENCE_EVENTS_MAX: usize = 10;

/// Most admins that one response tells. Primary Owners come first; a payload stays well under a megabyte.
pub const RECIPIENTS_MAX: usize = 200;

/// A response to a user counts as recent for this long: within it the next one is not the first.
pub const RESPONSE_RECENT: Span = Span::from_hours(24);

/// Longest mail address that is used (RFC 5321 section 4.5.3.1.3, a path without its brackets).
pub const ADDRESS_BYTES_MAX: usize = 254;

/// Most characters of one value in a message to a person. A user agent as people know them fits.
pub const MESSAGE_VALUE_CHARS_MAX: usize = 200;

/// Most lines of evidence in a message to an admin. The audit entry has all of them.
pub const MESSAGE_EVIDENCE_MAX: usize = 10;
