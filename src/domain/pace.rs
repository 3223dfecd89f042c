//! How fast a mailbox sends, so that it passes for a person's, and keeps its name.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::clock::{Random, Timestamp};

/// Limits in any 60 minutes and any 24 hours, pauses between two mails, and a ramp for a mailbox that is new. What is None has
/// its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    /// 0: no limit.
    pub per_hour: Option<u32>,
    /// 0: no limit.
    pub per_day: Option<u32>,
    pub min_pause: Option<u32>,
    pub max_pause: Option<u32>,
    /// So many on its first day; 0: no ramp.
    pub ramp_start: u32,
    /// So many more on each day after.
    pub ramp_daily_increase: u32,
}

/// What a mailbox has sent, as far as its limits look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sends {
    /// Its first mail.
    pub first: Option<Timestamp>,
    /// The one that is as many mails ago as may be sent within an hour, if there were as many.
    pub hour_ago: Option<Timestamp>,
    /// The same of a day.
    pub day_ago: Option<Timestamp>,
    /// Before which it pauses.
    pub next: Option<Timestamp>,
}

/// A day's mail is spread over three hours.
pub const PER_HOUR: u32 = 10;
/// What providers take for a person's.
pub const PER_DAY: u32 = 30;
/// As somebody who writes letters pauses, in seconds.
pub const PAUSES: (u32, u32) = (60, 180);
const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
/// How far an end is looked for: two years.
const FARTHEST: i64 = 730 * DAY;

// === impl Pace ===

impl Pace {
    /// Within any 60 minutes; None: as many as there are.
    pub fn hourly(&self) -> Option<u32> {
        Some(self.per_hour.unwrap_or(PER_HOUR)).filter(|limit| *limit > 0)
    }

    /// Within any 24 hours, once there is no ramp any more.
    pub fn settled_daily(&self) -> Option<u32> {
        Some(self.per_day.unwrap_or(PER_DAY)).filter(|limit| *limit > 0)
    }

    /// Within any 24 hours that end on `day`, of a mailbox that sent its first mail on the day `first`.
    pub fn daily(&self, first: Option<Date>, day: Date) -> Option<u32> {
        let limit = self.settled_daily();
        if self.ramp_start == 0 {
            return limit;
        }
        let days = first.map_or(0, |first| (day - first).get_days().max(0).unsigned_abs());
        let ramp = self.ramp_start.saturating_add(self.ramp_daily_increase.saturating_mul(days));
        Some(limit.map_or(ramp, |limit| limit.min(ramp)))
    }

    /// The least and the longest pause, in seconds.
    pub fn pauses(&self) -> (u32, u32) {
        let least = self.min_pause.unwrap_or(PAUSES.0.min(self.max_pause.unwrap_or(PAUSES.0)));
        (least, self.max_pause.unwrap_or(PAUSES.1).max(least))
    }

    /// A pause after a mail, in microseconds.
    pub fn pause(&self, random: &dyn Random) -> i64 {
        let (least, most) = self.pauses();
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        let (least, span) = (u64::from(least) * 1_000_000, u64::from(most - least) * 1_000_000 + 1);
        i64::try_from(least + u64::from_le_bytes(bytes) % span).unwrap_or(i64::MAX)
    }

    /// When the mailbox may send its next mail. A clock that was ahead counts what was sent then as sent now.
    pub fn next(&self, calendar: &Calendar, sends: &Sends, now: Timestamp) -> Option<Timestamp> {
        let after = |time: Option<Timestamp>, seconds| time.map(|time| time.plus_seconds(seconds));
        let bounds = [sends.next, after(sends.hour_ago, HOUR), after(sends.day_ago, DAY)];
        calendar.window().next_open(bounds.into_iter().flatten().fold(now, Timestamp::max))
    }

    /// About how many mails it sends on a day of its calendar, that day's ramp included.
    pub fn on_a_day(&self, calendar: &Calendar, first: Option<Date>, day: Date) -> u32 {
        let seconds = calendar.hours().seconds();
        let (least, most) = self.pauses();
        let by_pauses = seconds.saturating_mul(2).checked_div(least + most).map_or(u32::MAX, |count| count.max(1));
        let by_hours = self.hourly().map_or(u32::MAX, |limit| (limit.saturating_mul(seconds) / 3_600).max(1));
        by_pauses.min(by_hours).min(self.daily(first, day).unwrap_or(u32::MAX))
    }

    /// About when the last of so many mails goes, the first of which goes at `from` at the earliest. None: further away than two years.
    pub fn done(&self, calendar: &Calendar, first: Option<Date>, from: Timestamp, mails: u32) -> Option<Timestamp> {
        let window = calendar.window();
        let seconds = calendar.hours().seconds();
        let (mut at, mut left) = (window.next_open(from)?, mails);
        let first = first.unwrap_or_else(|| window.day(at));
        let farthest = from.plus_seconds(FARTHEST);
        while at < farthest {
            let today = self.on_a_day(calendar, Some(first), window.day(at)).max(1);
            if left <= today {
                let share = u64::from(seconds) * u64::from(left.saturating_sub(1)) / u64::from(today);
                return Some(at.plus_seconds(i64::try_from(share).unwrap_or(0)));
            }
            left -= today;
            at = window.next_open(at.plus_seconds(i64::from(seconds)))?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::{WorkingHours, parse_day};

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().expect("a time").as_microsecond())
    }

    #[test]
    fn the_strictest_limit_holds_and_then_the_window() {
        let (pace, calendar) = (Pace::default(), Calendar::default());
        let now = at("2026-01-14T10:00:00Z");
        let next = |sends: Sends| pace.next(&calendar, &sends, now).expect("a time");
        assert_eq!(next(Sends::default()), now);
        assert_eq!(next(Sends { next: Some(now.plus_seconds(90)), ..Sends::default() }), now.plus_seconds(90));
        let hour = Sends { hour_ago: Some(now.plus_seconds(-600)), ..Sends::default() };
        assert_eq!(next(hour), now.plus_seconds(3_000));
        let day = Sends { day_ago: Some(now.plus_seconds(-5 * HOUR)), ..hour };
        assert_eq!(next(day), at("2026-01-15T09:00:00Z"), "5:00, and then the window");
        // Sent while the clock was a day ahead.
        let ahead = Sends { day_ago: Some(now.plus_seconds(DAY)), ..Sends::default() };
        assert_eq!(next(ahead), at("2026-01-16T10:00:00Z"));
    }

    #[test]
    fn the_end_is_told_by_what_a_day_takes() {
        let (pace, calendar) = (Pace::default(), Calendar::default());
        let done = |pace: &Pace, from: &str, mails| pace.done(&calendar, None, at(from), mails);
        // Thirty a day; the fourteenth is a Wednesday.
        assert_eq!(done(&pace, "2026-01-14T09:00:00Z", 1), Some(at("2026-01-14T09:00:00Z")));
        assert_eq!(done(&pace, "2026-01-14T09:00:00Z", 30), Some(at("2026-01-14T16:44:00Z")));
        assert_eq!(done(&pace, "2026-01-16T09:00:00Z", 31), Some(at("2026-01-19T09:00:00Z")), "over the weekend");
        assert_eq!(done(&pace, "2026-01-17T12:00:00Z", 1), Some(at("2026-01-19T09:00:00Z")), "begun on a Saturday");
        let ramp = Pace { ramp_start: 1, ramp_daily_increase: 1, ..pace };
        assert_eq!(done(&ramp, "2026-01-12T09:00:00Z", 15), Some(at("2026-01-16T15:24:00Z")), "1 + 2 + 3 + 4 + 5");
        let slow = Pace { per_day: Some(1), ..pace };
        assert_eq!(done(&slow, "2026-01-14T09:00:00Z", 2_000), None);
        // A hundred and four Wednesdays are two years, and no more are looked through.
        let wednesdays = Calendar { days: vec![3], ..Calendar::default() };
        let on_wednesdays = |mails| slow.done(&wednesdays, None, at("2026-01-14T09:00:00Z"), mails);
        assert_eq!(on_wednesdays(104), Some(at("2028-01-05T09:00:00Z")));
        assert_eq!((on_wednesdays(105).is_some(), on_wednesdays(106)), (true, None));
        let free = Pace { per_hour: Some(0), per_day: Some(0), min_pause: Some(0), max_pause: Some(0), ..pace };
        assert_eq!(done(&free, "2026-01-14T09:00:00Z", 100_000), Some(at("2026-01-14T09:00:00Z")));
    }

    #[test]
    fn a_new_mailbox_sends_a_little_more_each_day() {
        let pace = Pace { ramp_start: 5, ramp_daily_increase: 10, ..Pace::default() };
        let day = |text| parse_day(text).expect("a day");
        let first = Some(day("2026-01-14"));
        let limit = |text| pace.daily(first, day(text)).expect("a limit");
        assert_eq!((pace.daily(None, day("2026-01-10")), limit("2026-01-14")), (Some(5), 5));
        assert_eq!((limit("2026-01-15"), limit("2026-01-16"), limit("2026-02-14")), (15, 25, 30));
        // A clock that was ahead at the first mail.
        assert_eq!(limit("2026-01-01"), 5);
        let none = Pace { per_day: Some(0), ..Pace::default() };
        assert_eq!(none.daily(first, day("2026-01-14")), None);
    }

    #[test]
    fn a_pause_is_between_its_bounds_and_not_always_the_same() {
        use crate::domain::clock::SystemRandom;
        let pace = Pace::default();
        let pauses: Vec<_> = (0..100).map(|_| pace.pause(&SystemRandom)).collect();
        assert!(pauses.iter().all(|pause| (60_000_000..=180_000_000).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        let off = Pace { min_pause: Some(0), max_pause: Some(0), ..pace };
        assert_eq!(off.pause(&SystemRandom), 0);
        assert_eq!(Pace { max_pause: Some(30), ..pace }.pauses(), (30, 30));
        assert_eq!(Pace { min_pause: Some(600), ..pace }.pauses(), (600, 600));
    }

    #[test]
    fn a_day_holds_what_its_tightest_limit_lets_through() {
        let (calendar, day) = (Calendar::default(), parse_day("2026-01-14").expect("a day"));
        let on = |pace: Pace| pace.on_a_day(&calendar, None, day);
        assert_eq!(on(Pace::default()), 30);
        assert_eq!(on(Pace { per_day: Some(0), ..Pace::default() }), 80, "ten in each of eight hours");
        assert_eq!(on(Pace { per_day: Some(0), per_hour: Some(0), ..Pace::default() }), 240, "two minutes each");
        let short = Calendar { hours: Some(WorkingHours { start: 0, end: 1 }), ..Calendar::default() };
        assert_eq!(Pace::default().on_a_day(&short, None, day), 1);
    }
}
