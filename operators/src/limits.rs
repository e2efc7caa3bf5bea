//! Every bound of the domain, with its reason. Defaults that an org or job can change are in the settings instead.

use engine::time::Span;

/// Most event ids that one piece of evidence lists.
pub const EVIDENCE_EVENTS_MAX: usize = 10;

/// Most admins that one response tells. Primary Owners come first; a payload stays well under a megabyte.
pub const RECIPIENTS_MAX: usize = 200;

/// A response to a user counts as recent for this long: within it the next one is not the first.
pub const RESPONSE_RECENT: Span = Span::from_hours(24);

/// By marks of their own, a person is signed out at most this often within [`RESPONSE_RECENT`].
pub const RESPONSES_HONEST_MAX: usize = 3;

/// How long an honest person is left in peace after the first response, and after the second.
pub const HOLD_OFFS: [Span; RESPONSES_HONEST_MAX - 1] = [Span::from_mins(10), Span::from_hours(1)];

/// By a stranger's marks, a person's sessions are ended at most this often within [`RESPONSE_RECENT`]: enough to outlast
/// a script, too few to hammer on whatever ends sessions.
pub const RESPONSES_PERSISTING_MAX: usize = 10;

/// The window of the blast-radius limit.
pub const RADIUS_WINDOW: Span = Span::from_hours(1);

/// In any org, so many people may be answered within [`RADIUS_WINDOW`].
pub const RADIUS_USERS: u64 = 10;

/// And in a large one, so many of a thousand who were active within [`ACTIVE_HOURS`].
pub const RADIUS_PERMILLE: u64 = 50;

/// Admins are told at most once within this that a person is left in peace, and that is as long as their limits reach back.
pub const TOLD_OF_PERSON: Span = RESPONSE_RECENT;

/// Admins are told at most once within this that the org's own limit is reached.
pub const TOLD_OF_ORG: Span = RADIUS_WINDOW;

/// Hours for which a person counts as active.
pub const ACTIVE_HOURS: u32 = 24;

/// How long after they were told of a person's responses admins are not told again: after the first message, the second,
/// and each further one. An hourly script comes to four messages a day, a burst to one more than its first.
pub const REPEAT_WAITS: [Span; 3] = [Span::from_hours(1), Span::from_hours(4), Span::from_hours(16)];

/// From this age on a person counts as active, so that made-up ones do not widen the blast radius.
pub const ACTIVE_AGE: Span = Span::from_hours(24);

/// Longest mail address that is used (RFC 5321 section 4.5.3.1.3, a path without its brackets).
pub const ADDRESS_BYTES_MAX: usize = 254;

/// Most characters of one value in a message to a person. A user agent as people know them fits.
pub const MESSAGE_VALUE_CHARS_MAX: usize = 200;

/// Most lines of evidence in a message to an admin. The audit entry has all of them.
pub const MESSAGE_EVIDENCE_MAX: usize = 10;

/// How long the id of an event is remembered, so that a copy has no effect. Not less than the lateness limit, or a late
/// copy would count again.
pub const ID_HORIZON: Span = Span::from_hours(1);

/// Most ids remembered per user or app: an event a second for an hour and room for copies; about 25 KB.
pub const IDS_MAX: usize = 4_096;

/// Most sessions remembered per user: a few devices and the logins of two weeks. The shortest-lived goes first.
pub const SESSIONS_MAX: usize = 8;

/// A session without an event for this long is forgotten: longer than most holidays.
pub const SESSION_IDLE: Span = Span::from_days(14);

/// Most user agents kept per user: two for each session (the current and the one before), and that of the event, so that
/// what it claims is always known.
pub const AGENTS_MAX: usize = 2 * SESSIONS_MAX + 1;

/// Most bytes kept of a user agent's text. Real ones take 60 to 200.
pub const AGENT_BYTES_MAX: usize = 256;

/// Most marks of one kind known per user.
pub const MARKS_MAX: usize = 16;

/// Days on which a mark was seen before it counts as the user's own, and is no longer evicted.
pub const MARK_DAYS: u8 = 3;

/// A mark that was not seen for this many days is forgotten, so that old devices make room.
pub const MARK_IDLE_DAYS: u16 = 35;

/// How long an older cookie stamp is nothing odd after a newer one was first seen: parallel requests are under way.
pub const COOKIE_GRACE: Span = Span::from_secs(120);

/// Most cookie stamps remembered per session. Honest clients rotate far less than this often within the grace; of more,
/// the newest are not remembered until the older ones have settled.
pub const STAMPS_MAX: usize = 8;

/// Minutes in the sliding window of volume rules.
pub const WINDOW_MINUTES: u32 = 60;

/// Minutes of counts kept: the window, and before it the hour in which a late event may still fall.
pub const RING_MINUTES: u32 = 2 * WINDOW_MINUTES;

/// Most (minute, session) counts kept per user: four sessions in every minute kept. Of more, sessions of one minute are
/// counted together.
pub const RING_MAX: usize = 4 * RING_MINUTES as usize;

/// Most events kept of each small count: three sessions at the highest bar, which is 30.
pub const FEW_MAX: usize = 96;

/// A client that was in another country less than this ago cannot have travelled, as far as a flight goes.
pub const TRAVEL: Span = Span::from_hours(2);

/// Most clients per user of which it is known where they were last: a desk's, a phone's, and a replacement of each.
pub const WHEREABOUTS_MAX: usize = 4;

/// Days on which a user was active before an administrative action of theirs can be unexpected: a working week.
pub const ADMIN_DAYS: u8 = 5;

/// Days on which an admin took a kind of action before it is usual.
pub const ADMIN_KIND_DAYS: u8 = 2;

/// Days on which an admin was active in an hour before it is usual.
pub const ADMIN_HOUR_DAYS: u8 = 3;

/// Most kinds of administrative actions remembered per user: twice as many as there are.
pub const ADMIN_KINDS_MAX: usize = 64;

/// Days of own activity before a user's habit raises their bar: a working week.
pub const HABIT_DAYS: u8 = 5;

/// A user's own habit raises the bar to at most this many times the org's.
pub const HABIT_CAP: u64 = 2;

/// Days over which a habit is a mean, later ones counting more: whoever does a little more every day does not get a
/// habit of it.
pub const HABIT_SPAN: u32 = 16;

/// A day counts for the habit with at most this many times what the habit was.
pub const HABIT_GROWTH: u32 = 2;

/// Days of a month on which a user may teach the org a count above its quantile. Beyond, their days count as the
/// quantile, so that no single user moves it, however slowly.
pub const HIGH_DAYS_MAX: u8 = 3;

/// An org that has taught enough does not learn from users who are younger than this: a flood of new ones moves nothing.
pub const USER_NEW: Span = Span::from_days(3);

/// Most entities remembered per user that were read within the last hour: one a second and some, 32 KB. A bar is rarely a
/// fifth of it.
pub const READS_MAX: usize = 4_096;

/// Ten-minute parts of an hour in which somebody reads who copies steadily. Who opens what a search found does not.
pub const SCRAPING_PARTS: usize = 4;

/// Users of an org who went down to one version before it counts as taken back: the first few are told of.
pub const ROLLBACK_USERS: usize = 3;

/// How long a version counts as taken back. A staged rollback is over by then.
pub const ROLLBACK_LASTS: Span = Span::from_days(28);

/// Most versions per org that users are known to have gone down to.
pub const ROLLBACKS_MAX: usize = 64;

/// A case closes after this long without evidence.
pub const CASE_QUIET: Span = Span::from_hours(1);

/// Most open cases of one reason per user or app: twice the remembered sessions. Of more, the quietest is closed early.
pub const CASES_MAX: usize = 2 * SESSIONS_MAX;

/// A user, app or org member without an event for this long is forgotten: a week more than what thresholds rest on.
pub const USER_IDLE: Span = Span::from_days(35);

/// Days that thresholds are learned from: four of each day of the week.
pub const BASELINE_DAYS: u32 = 28;

/// How often changes of a distribution are released: often enough for thresholds that lag an hour, rare enough to net.
pub const BASELINE_STEP: Span = Span::from_mins(10);

/// How long after a threshold was learned it applies. It is the summary of the dataflow's feedback edge.
pub const THRESHOLD_DELAY: Span = Span::from_hours(1);

/// Samples at which an org's own quantile weighs as much as the platform's prior, and from which on it has a threshold of
/// its own: two of them lie above the quantile. A small team for a month, a hundred people for three days.
pub const PRIOR_SAMPLES: u64 = 200;

/// For how long an org teaches before it has a threshold: three working days at least, whatever day it starts on. What
/// most people do in a large org's first hours says nothing of those who do a lot later in the day.
pub const LEARNING: Span = Span::from_days(5);

/// Samples from which on a class of hours has a threshold of its own: five of them lie above the quantile.
pub const HOURS_SAMPLES: u64 = 500;

/// The quantile of one person's daily peak that thresholds start from, in thousandths.
pub const QUANTILE_PERMILLE: u64 = 990;

/// An anomaly that was found elsewhere is raised if what it tells of happened at most this long before it was reported:
/// as long as an event may be late by default.
pub const IMPORTED_AGE_MAX: Span = Span::from_hours(1);
