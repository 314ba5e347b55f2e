//! The grammar of store addresses.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::redacted;

/// The address of a store, as [`connect`](crate::connect) takes it.
///
/// | address | store |
/// |---|---|
/// | `memory://` | in memory, gone with the process |
/// | `sqlite://PATH[?mode=rwc\|rw]` | a SQLite file; created if it is missing, unless `mode=rw` |
/// | `postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?NAME=VALUE&…]` | a schema of a Postgres database |
///
/// *SQLite*: everything behind `sqlite://` up to a `?` is the path: `sqlite://shop.db` is relative to the working
/// directory, `sqlite:///var/lib/shop.db` is absolute.
/// *Postgres*: the parameters are `schema` (the schema that holds the store; `recount` by default),
/// `application_name`, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `host`, `hostaddr`, `port`, `dbname`, `user`,
/// `password`, `options` and `statement-cache-capacity`, as the driver defines them; `postgresql://` is the same as
/// `postgres://`.
///
/// In every part `%XX` stands for a byte, as RFC 3986 defines it; write `%`, `?`, `#` and, in user and password, `@`,
/// `/` and `:` as `%25`, `%3F`, `%23`, `%40`, `%2F` and `%3A`. Unknown
/// parameters and blanks at the ends are refused, not ignored.
///
/// `Display` and `Debug` show no user, no password and no value of a parameter.
///
/// ```
/// use recount::Address;
///
/// let Address::Sqlite { path, .. } = "sqlite://orders%202026.db".parse()? else { unreachable!() };
/// assert_eq!(path.to_str(), Some("orders 2026.db"));
/// let address: Address = "postgres://app:s3cret@db.example.com/bank".parse()?;
/// assert_eq!(address.to_string(), "postgres://***@db.example.com/bank");
/// # Ok::<(), recount::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A store in memory.
    Memory,
    /// A store in a SQLite file.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Whether the file is created if it is missing.
        create: bool,
    },
    /// A store in a Postgres database; its own parts are checked when it is opened.
    Postgres {
        /// The whole address, with its password.
        url: String,
    },
}

/// The error of a text that is not the address of a store. It shows no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    address: String,
    problem: String,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no store's address: {}", self.address, self.problem)
    }
}

impl std::error::Error for AddressError {}

#[cfg(not(all(feature = "memory", feature = "sqlite", feature = "postgres")))]
impl Address {
    /// The feature of this crate that includes the store.
    pub(crate) fn feature(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres { .. } => "postgres",
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        parse(url).map_err(|problem| AddressError { address: redacted(url), problem })
    }
}

fn parse(url: &str) -> Result<Address, String> {
    if url.contains(char::is_control) {
        return Err(
            "it contains a control character, such as a line break: leave it out, or write it as %0A".to_owned()
        );
    }
    if url.trim() != url {
        return Err("it begins or ends with a blank: leave it out, or write it as %20".to_owned());
    }
    const FORMS: &str = "use memory://, sqlite://FILE or postgres://HOST/DATABASE";
    if let Some(path) = url.strip_prefix("sqlite:").filter(|rest| !rest.starts_with("//")) {
        return Err(if path == ":memory:" {
            IN_MEMORY.to_owned()
        } else {
            "two slashes are missing: write sqlite://FILE".to_owned()
        });
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(format!("it has no scheme; {FORMS}"));
    };
    match scheme {
        "memory" if rest.is_empty() => Ok(Address::Memory),
        "memory" => Err(format!("a store in memory has no name; {FORMS}")),
        "sqlite" => sqlite(rest),
        "postgres" | "postgresql" => Ok(Address::Postgres { url: url.to_owned() }),
        _ => Err(format!("no store has this scheme; {FORMS}")),
    }
}

const IN_MEMORY: &str = "SQLite in memory would lose every event with its connection: use memory:// for a store in \
                         memory, or name a file";

fn sqlite(rest: &str) -> Result<Address, String> {
    let (path, parameters) = rest.split_once('?').map_or((rest, None), |(path, rest)| (path, Some(rest)));
    if path.contains('#') {
        return Err("`#` begins a fragment, which no store has: write it as %23 if it belongs to the path".to_owned());
    }
    let path = decoded(path)?;
    match &*path {
        "" => return Err("it names no file: write one behind it, such as sqlite://shop.db".to_owned()),
        ":memory:" => return Err(IN_MEMORY.to_owned()),
        _ => {}
    }
    let mut create = None;
    for parameter in parameters.iter().flat_map(|all| all.split('&')).filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=').ok_or("write parameters as NAME=VALUE, joined by `&`")? {
            ("mode", _) if create.is_some() => return Err("mode is given twice".to_owned()),
            ("mode", "rwc") => create = Some(true),
            ("mode", "rw") => create = Some(false),
            ("mode", "memory") => return Err(IN_MEMORY.to_owned()),
            ("mode", "ro") => return Err("a store can't be opened read-only: use mode=rw or mode=rwc".to_owned()),
            ("mode", _) => {
                return Err("mode is rwc (create the file if it is missing) or rw (it must exist)".to_owned());
            }
            (name, _) => {
                return Err(format!(
                    "sqlite:// has no parameter {name:?}, only mode; write a `?` in a path as %3F, and set anything else \
                     with SqliteStore::builder"
                ));
            }
        }
    }
    Ok(Address::Sqlite { path: PathBuf::from(path), create: create.unwrap_or(true) })
}

fn decoded(text: &str) -> Result<String, String> {
    if text.bytes().enumerate().any(|(at, byte)| byte == b'%' && !is_escape(&text.as_bytes()[at..])) {
        return Err("`%` is followed by no two hexadecimal digits: write a plain percent sign as %25".to_owned());
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "its escaped bytes are no UTF-8".to_owned())?;
    if decoded.contains('\0') {
        return Err("a path can't contain NUL".to_owned());
    }
    Ok(decoded.into_owned())
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory://"),
            Self::Sqlite { path, .. } => write!(f, "sqlite://{}", path.display()),
            Self::Postgres { url } => f.write_str(&redacted(url)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
