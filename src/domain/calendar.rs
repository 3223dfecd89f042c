//! When a mailbox sends: days and hours by the clocks of a time zone, which is kept as such and never as an offset.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, ToSpan as _};
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;

/// A part of each day, in minutes after midnight; an end that is not after the start is on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingHours {
    pub start: u16,
    pub end: u16,
}

/// The days and hours, and where their clocks are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Calendar {
    /// From Monday, 1, to Sunday, 7; in order, each once. Empty: Monday to Friday, when offices read mail.
    pub days: Vec<i8>,
    /// None: 9:00 to 17:00.
    pub hours: Option<WorkingHours>,
    /// A name of the IANA database; empty: UTC.
    pub time_zone: String,
    /// Days without mail, as `2026-12-25`.
    pub holidays: Vec<Date>,
}

/// A calendar by the clocks of one zone.
#[derive(Debug, Clone)]
pub struct Window<'a> {
    calendar: &'a Calendar,
    zone: TimeZone,
}

const OFFICE_DAYS: [i8; 5] = [1, 2, 3, 4, 5];
const OFFICE_HOURS: WorkingHours = WorkingHours { start: 9 * 60, end: 17 * 60 };
const DAY: u16 = 24 * 60;
/// How far to look for a day with mail: further than holidays reach that one may set.
const FARTHEST_DAYS: i32 = 800;
/// How far two windows are looked through for a time that is in both. A week has all that comes up regularly.
const MEETING_DAYS: i32 = 8;

// === impl Calendar ===

impl Calendar {
    /// By its own clocks.
    pub fn window(&self) -> Window<'_> {
        self.window_in(&self.time_zone)
    }

    /// By the clocks of another zone; UTC where there is none of that name.
    pub fn window_in(&self, zone: &str) -> Window<'_> {
        Window { calendar: self, zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC) }
    }

    /// The first time from `from` on at which mail may go to somebody whose clocks are in `zone` (empty: nobody knows): within both
    /// windows, or in the calendar's own alone where the two never meet.
    pub fn next_open(&self, from: Timestamp, zone: &str) -> Option<Timestamp> {
        let own = self.window();
        let alone = own.next_open(from)?;
        if zone.is_empty() || zone == self.time_zone {
            return Some(alone);
        }
        let theirs = self.window_in(zone);
        let end = alone.plus_seconds(i64::from(MEETING_DAYS) * 24 * 60 * 60);
        let mut at = alone;
        while at <= end {
            let Some(other) = theirs.next_open(at) else { break };
            match own.next_open(other)? {
                both if both == other => return Some(both),
                later => at = later,
            }
        }
        Some(alone)
    }

    pub fn days(&self) -> &[i8] {
        if self.days.is_empty() { &OFFICE_DAYS } else { &self.days }
    }

    pub fn hours(&self) -> WorkingHours {
        self.hours.unwrap_or(OFFICE_HOURS)
    }
}

// === impl Window ===

impl Window<'_> {
    /// Whether mail may go at that time, which the clocks of the zone tell.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let wall = self.wall(at);
        let minute = i32::from(wall.hour()) * 60 + i32::from(wall.minute());
        let WorkingHours { start, end } = self.calendar.hours();
        let (after_start, before_end) = (minute >= i32::from(start), minute < i32::from(end));
        let (today, yesterday) =
            (self.has_day(wall.date()), wall.date().yesterday().is_ok_and(|day| self.has_day(day)));
        if start < end {
            today && after_start && before_end
        } else {
            (today && after_start) || (yesterday && before_end)
        }
    }

    /// The first time from `from` on at which it may; None if it never may.
    pub fn next_open(&self, from: Timestamp) -> Option<Timestamp> {
        if self.is_open(from) {
            return Some(from);
        }
        let today = self.wall(from).date();
        let starts = (0..FARTHEST_DAYS).filter_map(|days| self.start(today.checked_add(days.days()).ok()?));
        // Where clocks are put forward over all of the hours, that day has none.
        starts.filter(|start| *start > from).find(|start| self.is_open(*start))
    }

    /// The day on which `at` falls.
    pub fn day(&self, at: Timestamp) -> Date {
        self.wall(at).date()
    }

    /// The days with mail from `from` on, the day of `from` included.
    pub fn days_from(&self, from: Timestamp) -> impl Iterator<Item = Date> + '_ {
        let today = self.day(from);
        (0..FARTHEST_DAYS).filter_map(move |days| today.checked_add(days.days()).ok()).filter(|day| self.has_day(*day))
    }

    /// When the hours of that day begin, as the clocks tell it then.
    pub fn start(&self, day: Date) -> Option<Timestamp> {
        let minute = self.calendar.hours().start;
        let time = Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok()?;
        let at = self.zone.to_ambiguous_zoned_datetime(day.to_datetime(time)).compatible().ok()?;
        Some(Timestamp(at.timestamp().as_microsecond()))
    }

    fn has_day(&self, day: Date) -> bool {
        self.calendar.days().contains(&day.weekday().to_monday_one_offset()) && !self.calendar.holidays.contains(&day)
    }

    fn wall(&self, at: Timestamp) -> DateTime {
        let instant = Instant::from_microsecond(at.0).unwrap_or(Instant::UNIX_EPOCH);
        self.zone.to_datetime(instant)
    }
}

// === impl WorkingHours ===

impl WorkingHours {
    /// `end` may be 24:00.
    pub fn parse(start: (i32, i32), end: (i32, i32)) -> Result<Self, &'static str> {
        let minutes = |(hours, minutes): (i32, i32)| {
            let fits =
                (0..=24).contains(&hours) && (0..60).contains(&minutes) && hours * 60 + minutes <= i32::from(DAY);
            fits.then(|| u16::try_from(hours * 60 + minutes).ok()).flatten()
        };
        match (minutes(start), minutes(end)) {
            (Some(start), Some(end)) if start < DAY && start != end => Ok(Self { start, end }),
            _ => Err("must be two different times of day, such as 9:00 to 17:30"),
        }
    }

    /// How long they are, in seconds.
    pub fn seconds(self) -> u32 {
        let minutes = if self.start < self.end { self.end - self.start } else { DAY - self.start + self.end };
        u32::from(minutes) * 60
    }
}

/// The name of a zone; empty: UTC.
pub fn parse_zone(name: &str) -> Result<String, &'static str> {
    let name = name.trim();
    if !name.is_empty() && TimeZone::get(name).is_err() {
        return Err("must be a time zone of the IANA database, such as Europe/Berlin");
    }
    Ok(name.to_owned())
}

/// A day as `2026-12-25`.
pub fn parse_day(text: &str) -> Result<Date, &'static str> {
    Date::strptime("%Y-%m-%d", text.trim()).map_err(|_| "must be a day such as 2026-12-25")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<Instant>().expect("a time").as_microsecond())
    }

    fn calendar(zone: &str, hours: (u16, u16)) -> Calendar {
        let hours = Some(WorkingHours { start: hours.0 * 60, end: hours.1 * 60 });
        Calendar { time_zone: zone.to_owned(), hours, ..Calendar::default() }
    }

    #[test]
    fn office_hours_are_those_of_the_zone_in_winter_and_in_summer() {
        let berlin = calendar("Europe/Berlin", (9, 17));
        for (from, next) in [
            // A Friday in winter: 9:00 is 8:00 UTC.
            ("2026-01-16T07:00:00Z", "2026-01-16T08:00:00Z"),
            ("2026-01-16T10:00:01Z", "2026-01-16T10:00:01Z"),
            ("2026-01-16T16:00:00Z", "2026-01-19T08:00:00Z"),
            // The Friday before clocks go forward: on Monday 9:00 is 7:00 UTC.
            ("2026-03-27T16:00:00Z", "2026-03-30T07:00:00Z"),
        ] {
            assert_eq!(berlin.next_open(at(from), ""), Some(at(next)), "{from}");
        }
        let mut closed = berlin.clone();
        closed.holidays = vec![parse_day("2026-01-19").expect("a day"), parse_day("2026-01-20").expect("a day")];
        assert_eq!(closed.next_open(at("2026-01-16T16:00:00Z"), ""), Some(at("2026-01-21T08:00:00Z")));
        assert!(parse_day("2026-02-30").is_err() && parse_day("25.12.2026").is_err());
    }

    #[test]
    fn a_prospects_zone_narrows_the_window_where_the_two_meet() {
        let berlin = calendar("Europe/Berlin", (9, 17));
        let morning = at("2026-01-14T08:00:00Z");
        // New York's 9:00 is Berlin's 15:00.
        assert_eq!(berlin.next_open(morning, "America/New_York"), Some(at("2026-01-14T14:00:00Z")));
        assert_eq!(berlin.next_open(at("2026-01-14T16:00:00Z"), "America/New_York"), Some(at("2026-01-15T14:00:00Z")));
        // Honolulu is asleep all day, and its 9:00 is Berlin's 20:00.
        assert_eq!(berlin.next_open(morning, "Pacific/Honolulu"), Some(morning));
        assert_eq!(berlin.next_open(morning, "Nowhere/Nowhere"), berlin.next_open(morning, "UTC"));
    }

    #[test]
    fn hours_that_end_on_the_next_day_belong_to_the_day_they_begin_on() {
        let night = calendar("UTC", (22, 2));
        // Friday night goes on into Saturday; Saturday night is none.
        assert!(night.window().is_open(at("2026-01-17T01:59:59Z")));
        assert!(!night.window().is_open(at("2026-01-17T22:00:00Z")));
        assert_eq!(night.next_open(at("2026-01-17T02:00:00Z"), ""), Some(at("2026-01-19T22:00:00Z")));
        assert_eq!(WorkingHours { start: 22 * 60, end: 2 * 60 }.seconds(), 4 * 60 * 60);
    }

    fn zones() -> Vec<String> {
        jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect()
    }

    proptest! {
        /// In every zone and at every change of its clocks: never outside of the window, and never skipped for ever.
        #[test]
        fn what_opens_is_within_the_window_and_comes(
            zone in proptest::sample::select(zones()),
            theirs in proptest::sample::select(zones()),
            // From 2000 to 2050.
            from in 946_684_800_i64..2_524_608_000,
            days in proptest::sample::subsequence((1..=7).collect::<Vec<i8>>(), 1..=7),
            start in 0_u16..1_440,
            length in 1_u16..1_440,
        ) {
            let hours = Some(WorkingHours { start, end: (start + length) % 1_440 }).filter(|h| h.start != h.end);
            let calendar = Calendar { days, hours, time_zone: zone, holidays: Vec::new() };
            let from = Timestamp(from * 1_000_000);
            let next = calendar.window().next_open(from);
            prop_assert!(next.is_some_and(|next| next >= from && calendar.window().is_open(next)));
            // A zone may lose the hours of a week or two to its clocks, not more.
            let late = next.map(|next| next.0 - from.0).unwrap_or_default() / 1_000_000;
            prop_assert!(late <= 15 * 24 * 60 * 60, "{late} seconds late");
            let both = calendar.next_open(from, &theirs);
            prop_assert!(both.is_some_and(|both| both >= from && calendar.window().is_open(both)));
        }
    }
}
