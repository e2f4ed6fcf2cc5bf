//! Dates and times of parquet files as text, as people write them in answers: `2019-03-12`, `2019-03-12 10:20:30`.

/// A day, counted from 1970-01-01.
pub fn date(days: i64) -> String {
    // Howard Hinnant's civil_from_days: years begin in March, so that a leap day is a year's last.
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097); // of the era of 400 years
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153; // March is 0
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{of_month:02}", year + era * 400 + later)
}

/// A time of day, in `unit`s of a second since midnight; fractions of a second only where there are any.
pub fn time(value: i64, unit: i64) -> String {
    let (seconds, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let whole = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if rest == 0 {
        return whole;
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// A moment, in `unit`s of a second since 1970; the day alone where it is midnight.
pub fn moment(value: i64, unit: i64) -> String {
    let day = unit * 86_400;
    let (days, rest) = (value.div_euclid(day), value.rem_euclid(day));
    match rest {
        0 => date(days),
        rest => format!("{} {}", date(days), time(rest, unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (17_967, "2019-03-12"),
            (-719_162, "0001-01-01"),
        ] {
            assert_eq!(date(days), expected);
        }
        assert_eq!(moment(17_967 * 86_400_000, 1_000), "2019-03-12");
        assert_eq!(moment(17_967 * 86_400 + 37_230, 1), "2019-03-12 10:20:30");
        assert_eq!(time(37_230_500_000, 1_000_000), "10:20:30.5");
    }
}
