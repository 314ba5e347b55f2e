//! The summary that models of repeat buying start from: frequency, recency and age of each customer at a day.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::civil::Date;

use crate::tables::ReadModels;

/// Writes `ID,frequency,recency,T`: each customer's repeat purchase days up to the cut, and the weeks from the first
/// purchase to the last and to the cut, with two decimals.
pub async fn write(tables: &ReadModels, source: &str, cut: Date, file: &Path) -> Result<()> {
    let select = "SELECT number, count(DISTINCT day), min(day), max(day) \
        FROM shop.orders JOIN shop.customers USING (customer) \
        WHERE source = $1 AND day <= $2 GROUP BY customer, number ORDER BY number";
    let rows: Vec<(i64, i64, String, String)> = tables.rows(select, [source.into(), (&cut).into()]).await?;
    let mut csv = "ID,frequency,recency,T\n".to_owned();
    for (number, days, first, last) in rows {
        let (first, last): (Date, Date) = (first.parse()?, last.parse()?);
        writeln!(csv, "{number},{},{},{}", days - 1, weeks(first, last)?, weeks(first, cut)?)?;
    }
    std::fs::write(file, csv).with_context(|| format!("can't write --csv {}", file.display()))
}

/// Weeks with at most two decimals and at least one, in whole hundredths: no floating point.
fn weeks(from: Date, to: Date) -> Result<String> {
    let days = from.until(to)?.get_days();
    let hundredths = (days * 200 + 7) / 14;
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    Ok(if rest % 10 == 0 { format!("{whole}.{}", rest / 10) } else { format!("{whole}.{rest:02}") })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn weeks_are_rounded_to_hundredths() {
        assert_eq!(weeks(date(1997, 1, 1), date(1997, 1, 1)).unwrap(), "0.0");
        assert_eq!(weeks(date(1997, 1, 1), date(1997, 9, 30)).unwrap(), "38.86");
        assert_eq!(weeks(date(1997, 1, 1), date(1997, 1, 13)).unwrap(), "1.71");
        assert_eq!(weeks(date(1997, 1, 1), date(1997, 1, 8)).unwrap(), "1.0");
    }
}
