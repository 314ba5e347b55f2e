//! The input: real orders of the online shop CDNOW. Knows the file's layouts and nothing of the shop.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use jiff::civil::Date;
use uuid::Uuid;

/// A file of orders.
pub struct Orders {
    /// Names the content, however the file is called or compressed.
    pub source: String,
    /// Its well-formed lines, in order.
    pub rows: Vec<Row>,
    /// The others.
    pub malformed: Vec<Malformed>,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its line in the file, from 1: the only thing that tells equal orders apart.
    pub line: u64,
    /// The customer's number in this file.
    pub customer: u32,
    /// Whether it is the customer's first order in the file.
    pub first: bool,
    /// The day of the order; the data has no times.
    pub day: Date,
    /// How many CDs.
    pub cds: u32,
    /// Their price; 80 orders of the full file cost nothing.
    pub cents: i64,
}

/// A line that is no order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {reason}", file.display())]
pub struct Malformed {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// The defect, and the expected form.
    pub reason: String,
}

impl Orders {
    /// Reads a file, plain or gzip: customer, day, CDs, dollars, with or without a header line; or the sample's layout,
    /// which has the customer's number in the sample as a second column.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        if file.is_dir() {
            bail!("can't read the orders in {name}: it is a directory; name a file in it with --orders");
        }
        let bytes = fs::read(file)
            .with_context(|| format!("can't read the orders in {name}, name another file with --orders"))?;
        let mut content = Vec::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            MultiGzDecoder::new(&*bytes).read_to_end(&mut content).with_context(|| {
                format!("can't read the orders in {name}: it is not a whole gzip file, copy it again")
            })?;
        } else {
            content = bytes;
        }
        let orders = Self::parse(file, &content);
        if orders.rows.is_empty() && orders.malformed.is_empty() {
            bail!(
                "there are no orders in {name}; they are lines of customer, day, CDs and dollars: 1 19970101 1 11.77"
            );
        }
        Ok(orders)
    }

    fn parse(file: &Path, content: &[u8]) -> Self {
        let mut source = Uuid::new_v5(&Uuid::NAMESPACE_OID, content).simple().to_string();
        source.truncate(8);
        let mut orders = Self { source, rows: Vec::new(), malformed: Vec::new() };
        let mut seen = HashMap::new();
        for (line, text) in (1..).zip(content.split(|byte| *byte == b'\n')) {
            let text = String::from_utf8_lossy(text);
            let fields: Vec<&str> = text.split_whitespace().collect();
            if fields.is_empty() || line == 1 && is_header(&fields) {
                continue;
            }
            match row(line, &fields) {
                Ok(mut row) => {
                    row.first = seen.insert(row.customer, ()).is_none();
                    orders.rows.push(row);
                }
                Err(reason) => orders.malformed.push(Malformed { file: file.to_owned(), line, reason }),
            }
        }
        orders
    }
}

/// More than anybody ever ordered at once.
const MOST_CDS: u32 = 100_000;

fn is_header(fields: &[&str]) -> bool {
    fields[0] == "customer_id"
}

fn row(line: u64, fields: &[&str]) -> Result<Row, String> {
    let (customer, rest) = match fields {
        [customer, rest @ ..] if rest.len() == 3 => (customer, rest),
        [_, customer, rest @ ..] if rest.len() == 3 => (customer, rest),
        _ => return Err(format!("{} fields where customer, day, CDs and dollars were expected", fields.len())),
    };
    Ok(Row {
        line,
        customer: number("customer", customer)?,
        first: false,
        day: day(rest[0])?,
        cds: cds(rest[1])?,
        cents: cents(rest[2])?,
    })
}

fn number(what: &str, text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{what} {text:?} is not a whole number"))
}

fn cds(text: &str) -> Result<u32, String> {
    match number("number of CDs", text)? {
        0 => Err("an order of 0 CDs is no order".to_owned()),
        cds if cds > MOST_CDS => Err(format!("an order of {cds} CDs is a mistake: {MOST_CDS} at most")),
        cds => Ok(cds),
    }
}

fn day(text: &str) -> Result<Date, String> {
    let wrong = || format!("day {text:?} is not a date as yyyymmdd");
    if text.len() != 8 {
        return Err(wrong());
    }
    Date::strptime("%Y%m%d", text).map_err(|_| wrong())
}

/// Dollars with two decimals, without a detour through floating point.
fn cents(text: &str) -> Result<i64, String> {
    let wrong = || format!("amount {text:?} is not dollars and cents such as 11.77");
    let (dollars, cents) = text.split_once('.').ok_or_else(wrong)?;
    if cents.len() != 2 || dollars.len() > 9 || !dollars.bytes().chain(cents.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return Err(wrong());
    }
    let dollars: i64 = dollars.parse().map_err(|_| wrong())?;
    let cents: i64 = cents.parse().map_err(|_| wrong())?;
    dollars.checked_mul(100).and_then(|all| all.checked_add(cents)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Orders {
        Orders::parse(Path::new("orders.txt"), text.as_bytes())
    }

    #[test]
    fn both_layouts_are_recognised() {
        let full = parse(" customer_id  date number_of_cds  dollar_value\r\n 00001 19970101  1   11.77\r\n");
        let sample = parse(" 00004 0001 19970101  2   29.33\r\n");
        assert_eq!((full.rows[0].line, full.rows[0].customer, full.rows[0].cents), (2, 1, 1177));
        assert_eq!((sample.rows[0].line, sample.rows[0].customer, sample.rows[0].cds), (1, 1, 2));
        assert!(full.malformed.is_empty() && sample.malformed.is_empty());
    }

    #[test]
    fn equal_rows_are_separate_orders() {
        let orders = parse("1 19970101 1 11.77\n1 19970101 1 11.77\n");
        assert_eq!(orders.rows.iter().map(|row| (row.line, row.first)).collect::<Vec<_>>(), [(1, true), (2, false)]);
    }

    #[test]
    fn a_malformed_line_is_named_and_stops_nothing() {
        let orders = parse(
            "1 19970101 1 11.77\n1 19970101 0 1.00\n1 19971301 1 11.77\n1 19970101 x 1.00\n1 19970101 1 1.5\n1 2\n1 19970101 4294967295 1.00\n1 19970101 1 1234567890.00\n2 19970101 1 0.00\n",
        );
        let reasons: Vec<String> = orders.malformed.iter().map(ToString::to_string).collect();
        assert_eq!(
            reasons,
            [
                "orders.txt:2: an order of 0 CDs is no order",
                "orders.txt:3: day \"19971301\" is not a date as yyyymmdd",
                "orders.txt:4: number of CDs \"x\" is not a whole number",
                "orders.txt:5: amount \"1.5\" is not dollars and cents such as 11.77",
                "orders.txt:6: 2 fields where customer, day, CDs and dollars were expected",
                "orders.txt:7: an order of 4294967295 CDs is a mistake: 100000 at most",
                "orders.txt:8: amount \"1234567890.00\" is not dollars and cents such as 11.77",
            ]
        );
        assert_eq!(orders.rows.len(), 2);
    }
}
