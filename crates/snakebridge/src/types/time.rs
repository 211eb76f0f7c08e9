//! Dates, times and spans of time, as the module `datetime` has them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use snakebridge_wire::token;

use super::{InvalidValue, serde_by_tuple};

type Result<T, E = InvalidValue> = std::result::Result<T, E>;

/// A calendar date, as Python's `datetime.date`: years 1 to 9999 of the Gregorian calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The date of this day.
    ///
    /// # Errors
    /// There is no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Result<Self> {
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        if !(1..=9999).contains(&year) || !(1..=days).contains(&day) {
            return Err(InvalidValue::new(format!("there is no date {year}-{month}-{day}")));
        }
        Ok(Self { year, month, day })
    }

    /// The year, 1 to 9999.
    #[must_use]
    pub const fn year(&self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    #[must_use]
    pub const fn month(&self) -> u8 {
        self.month
    }

    /// The day of the month, from 1.
    #[must_use]
    pub const fn day(&self) -> u8 {
        self.day
    }
}

/// Distance from UTC, in microseconds: positive to the east, less than a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcOffset(i64);

impl UtcOffset {
    /// UTC itself.
    pub const UTC: Self = Self(0);

    /// The offset of this many microseconds.
    ///
    /// # Errors
    /// It is a day or more.
    pub fn from_micros(micros: i64) -> Result<Self> {
        match micros.abs() < DAY_MICROS {
            true => Ok(Self(micros)),
            false => Err(InvalidValue::new("an offset from UTC is less than a day")),
        }
    }

    /// The offset of this many seconds.
    ///
    /// # Errors
    /// It is a day or more.
    pub fn from_seconds(seconds: i32) -> Result<Self> {
        Self::from_micros(i64::from(seconds) * 1_000_000)
    }

    /// The offset in microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }
}

const DAY_MICROS: i64 = 86_400_000_000;

/// A time of day, as Python's `datetime.time`: naive, or with an offset from UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    hour: u8,
    minute: u8,
    second: u8,
    micros: u32,
    fold: bool,
    offset: Option<UtcOffset>,
}

impl Time {
    /// The naive time of this moment of a day.
    ///
    /// # Errors
    /// There is no such moment.
    pub fn new(hour: u8, minute: u8, second: u8, micros: u32) -> Result<Self> {
        if hour > 23 || minute > 59 || second > 59 || micros > 999_999 {
            return Err(InvalidValue::new(format!(
                "there is no time {hour}:{minute}:{second}.{micros}"
            )));
        }
        Ok(Self { hour, minute, second, micros, fold: false, offset: None })
    }

    /// The same time with this offset from UTC, or without one.
    #[must_use]
    pub const fn with_offset(mut self, offset: Option<UtcOffset>) -> Self {
        self.offset = offset;
        self
    }

    /// The same time, as the second of two that a change of clocks makes alike.
    #[must_use]
    pub const fn with_fold(mut self, fold: bool) -> Self {
        self.fold = fold;
        self
    }

    /// The hour, 0 to 23.
    #[must_use]
    pub const fn hour(&self) -> u8 {
        self.hour
    }

    /// The minute, 0 to 59.
    #[must_use]
    pub const fn minute(&self) -> u8 {
        self.minute
    }

    /// The second, 0 to 59.
    #[must_use]
    pub const fn second(&self) -> u8 {
        self.second
    }

    /// The microsecond, 0 to 999999.
    #[must_use]
    pub const fn microsecond(&self) -> u32 {
        self.micros
    }

    /// Whether it is the second of two times that a change of clocks makes alike.
    #[must_use]
    pub const fn fold(&self) -> bool {
        self.fold
    }

    /// The offset from UTC; `None` for a naive time.
    #[must_use]
    pub const fn offset(&self) -> Option<UtcOffset> {
        self.offset
    }
}

/// A date and a time of day, as Python's `datetime.datetime`.
///
/// A time zone travels as its offset at that moment; its name does not travel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature")]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// The time of day, with the offset where there is one.
    pub time: Time,
}

/// A span of time, as Python's `datetime.timedelta`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeDelta {
    days: i32,
    seconds: u32,
    micros: u32,
}

impl TimeDelta {
    /// The span in Python's normal form: seconds below 86400 and microseconds below 1000000 are
    /// never negative, only days are.
    ///
    /// # Errors
    /// A part is out of its range, or there are more than 999999999 days.
    pub fn new(days: i32, seconds: u32, micros: u32) -> Result<Self> {
        if days.unsigned_abs() > 999_999_999 || seconds >= 86_400 || micros >= 1_000_000 {
            return Err(InvalidValue::new(format!(
                "there is no timedelta of {days} days, {seconds} seconds, {micros} microseconds"
            )));
        }
        Ok(Self { days, seconds, micros })
    }

    /// The days; negative for negative spans.
    #[must_use]
    pub const fn days(&self) -> i32 {
        self.days
    }

    /// The seconds of the last day, 0 to 86399.
    #[must_use]
    pub const fn seconds(&self) -> u32 {
        self.seconds
    }

    /// The microseconds of the last second, 0 to 999999.
    #[must_use]
    pub const fn microseconds(&self) -> u32 {
        self.micros
    }

    /// The whole span in microseconds.
    #[must_use]
    pub fn total_micros(&self) -> i128 {
        i128::from(self.days) * i128::from(DAY_MICROS)
            + i128::from(self.seconds) * 1_000_000
            + i128::from(self.micros)
    }
}

impl TryFrom<Duration> for TimeDelta {
    type Error = InvalidValue;

    /// Fails for parts of a microsecond: they would be lost.
    fn try_from(span: Duration) -> Result<Self> {
        let days = i32::try_from(span.as_secs() / 86_400);
        match (days, span.subsec_nanos() % 1000) {
            (Ok(days), 0) => {
                Self::new(days, (span.as_secs() % 86_400) as u32, span.subsec_micros())
            }
            (Ok(_), _) => Err(InvalidValue::new("a timedelta has no parts of a microsecond")),
            (Err(_), _) => Err(InvalidValue::new("a timedelta has at most 999999999 days")),
        }
    }
}

impl TryFrom<TimeDelta> for Duration {
    type Error = InvalidValue;

    /// Fails for negative spans.
    fn try_from(span: TimeDelta) -> Result<Self> {
        let days = u64::try_from(span.days)
            .map_err(|_| InvalidValue::new("a Duration cannot be negative"))?;
        Ok(Self::new(days * 86_400 + u64::from(span.seconds), span.micros * 1000))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let (seconds, micros) = (self.0.abs() / 1_000_000, self.0.abs() % 1_000_000);
        write!(f, "{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60)?;
        if seconds % 60 != 0 || micros != 0 {
            write!(f, ":{:02}", seconds % 60)?;
        }
        if micros != 0 {
            write!(f, ".{micros:06}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)?;
        if self.micros != 0 {
            write!(f, ".{:06}", self.micros)?;
        }
        self.offset.map_or(Ok(()), |offset| offset.fmt(f))
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}", self.date, self.time)
    }
}

impl fmt::Display for TimeDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.seconds / 3600, self.seconds / 60 % 60);
        write!(f, "{} days, {hours}:{minutes:02}:{:02}", self.days, self.seconds % 60)?;
        match self.micros {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

macro_rules! debug_as_display {
    ($($type:ident)*) => {
        $(impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        })*
    };
}

debug_as_display!(Date Time DateTime TimeDelta);

impl FromStr for Date {
    type Err = InvalidValue;

    /// Reads `2024-02-29`.
    fn from_str(text: &str) -> Result<Self> {
        let error = || InvalidValue::new("a date is written like `2024-02-29`");
        let mut parts = text.split('-');
        let mut number = |len| digits(parts.next()?, len);
        let (year, month, day) = (number(4), number(2), number(2));
        match (year, month, day, parts.next()) {
            (Some(year), Some(month), Some(day), None) => {
                Self::new(year as u16, month as u8, day as u8)
            }
            _ => Err(error()),
        }
    }
}

impl FromStr for Time {
    type Err = InvalidValue;

    /// Reads `12:30`, `12:30:15.123456` and either with an offset like `+05:30` or `Z`.
    fn from_str(text: &str) -> Result<Self> {
        let error = || InvalidValue::new("a time is written like `12:30:15.123456+05:30`");
        let (clock, offset) = match text.find(['+', '-', 'Z']) {
            Some(at) => (&text[..at], Some(parse_offset(&text[at..]).ok_or_else(error)?)),
            None => (text, None),
        };
        let (hour, minute, second, micros) = parse_clock(clock).ok_or_else(error)?;
        Ok(Self::new(hour as u8, minute as u8, second as u8, micros)?.with_offset(offset))
    }
}

impl FromStr for DateTime {
    type Err = InvalidValue;

    /// Reads a date and a time with `T` or a space between them.
    fn from_str(text: &str) -> Result<Self> {
        let (date, time) = text.split_once(['T', ' ']).ok_or_else(|| {
            InvalidValue::new("a datetime is written like `2024-02-29T12:30:15+05:30`")
        })?;
        Ok(Self { date: date.parse()?, time: time.parse()? })
    }
}

impl FromStr for TimeDelta {
    type Err = InvalidValue;

    /// Reads what `Display` writes: `-1 days, 5:00:00.000001`.
    fn from_str(text: &str) -> Result<Self> {
        let error = || InvalidValue::new("a timedelta is written like `-1 days, 5:00:00`");
        let (days, clock) = text.split_once(" days, ").ok_or_else(error)?;
        let clock = if clock.find(':') == Some(1) { format!("0{clock}") } else { clock.to_owned() };
        let (hour, minute, second, micros) = parse_clock(&clock).ok_or_else(error)?;
        Self::new(days.parse().map_err(|_| error())?, hour * 3600 + minute * 60 + second, micros)
    }
}

/// Exactly this many decimal digits.
fn digits(text: &str, len: usize) -> Option<u32> {
    let all = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok())?
}

fn parse_clock(text: &str) -> Option<(u32, u32, u32, u32)> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) if !fraction.is_empty() && fraction.len() <= 6 => (clock, fraction),
        Some(_) => return None,
        None => (text, "0"),
    };
    let micros = digits(fraction, fraction.len())? * 10_u32.pow(6 - fraction.len() as u32);
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |part| digits(part, 2))?;
    parts.next().is_none().then_some((hour, minute, second, micros))
}

fn parse_offset(text: &str) -> Option<UtcOffset> {
    if text == "Z" {
        return Some(UtcOffset::UTC);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hour, minute, second, micros) = parse_clock(&text[1..])?;
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    UtcOffset::from_micros(sign * (seconds * 1_000_000 + i64::from(micros))).ok()
}

serde_by_tuple!(
    Date,
    token::DATE,
    "a date",
    (u16, u8, u8),
    |date| (date.year, date.month, date.day),
    |(year, month, day)| Date::new(year, month, day)
);

type TimeFields = (u8, u8, u8, u32, u8, Option<i64>);

fn time_fields(time: &Time) -> TimeFields {
    let offset = time.offset.map(UtcOffset::micros);
    (time.hour, time.minute, time.second, time.micros, time.fold.into(), offset)
}

fn time_from_fields(fields: TimeFields) -> Result<Time> {
    let (hour, minute, second, micros, fold, offset) = fields;
    let offset = offset.map(UtcOffset::from_micros).transpose()?;
    Ok(Time::new(hour, minute, second, micros)?.with_fold(fold != 0).with_offset(offset))
}

serde_by_tuple!(Time, token::TIME, "a time", TimeFields, time_fields, time_from_fields);

serde_by_tuple!(
    DateTime,
    token::DATE_TIME,
    "a datetime",
    (u16, u8, u8, u8, u8, u8, u32, u8, Option<i64>),
    |at| {
        let (hour, minute, second, micros, fold, offset) = time_fields(&at.time);
        let date = at.date;
        (date.year, date.month, date.day, hour, minute, second, micros, fold, offset)
    },
    |(year, month, day, hour, minute, second, micros, fold, offset)| {
        let time = time_from_fields((hour, minute, second, micros, fold, offset))?;
        Ok(DateTime { date: Date::new(year, month, day)?, time })
    }
);

serde_by_tuple!(
    TimeDelta,
    token::TIME_DELTA,
    "a timedelta",
    (i32, u32, u32),
    |span| (span.days, span.seconds, span.micros),
    |(days, seconds, micros)| TimeDelta::new(days, seconds, micros)
);

#[cfg(test)]
mod tests {
    use super::*;

    fn same<T: FromStr<Err = InvalidValue> + fmt::Display>(text: &str) {
        assert_eq!(text.parse::<T>().unwrap().to_string(), text);
    }

    #[test]
    fn texts_round_trip() {
        same::<Date>("2024-02-29");
        same::<Time>("23:59:59.999999");
        same::<Time>("00:00:00-00:30");
        same::<DateTime>("2024-03-10T08:00:00+05:30");
        same::<DateTime>("0001-01-01T00:00:00.000001+00:00:01.000001");
        same::<TimeDelta>("-1 days, 5:00:00.000001");
        same::<TimeDelta>("0 days, 23:59:59");
    }

    #[test]
    fn impossible_ones_are_refused() {
        assert!("2023-02-29".parse::<Date>().is_err());
        assert!("2024-13-01".parse::<Date>().is_err());
        assert!(Date::new(0, 1, 1).is_err());
        assert!("24:00".parse::<Time>().is_err());
        assert!("12:30+24:00".parse::<Time>().is_err());
        assert!(TimeDelta::new(1_000_000_000, 0, 0).is_err());
        assert!(TimeDelta::try_from(Duration::from_nanos(1)).is_err());
        assert!(Duration::try_from(TimeDelta::new(-1, 0, 0).unwrap()).is_err());
    }
}
