//! Every bound of the domain, with its reason. Defaults that an org or job can change are in the settings instead.

/// Most event ids that one piece of evidence lists.
pub const EVIDENCE_EVENTS_MAX: usize = 10;
