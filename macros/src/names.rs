//! The words of the attributes, and the rules for stored names.

use proc_macro2::Ident;
use syn::ext::IdentExt;

pub(crate) const AGGREGATE: &str = "aggregate";
pub(crate) const ALIAS: &str = "alias";
pub(crate) const BY: &str = "by";
pub(crate) const COMMAND: &str = "command";
pub(crate) const COMMANDS: &str = "commands";
pub(crate) const CRATE: &str = "crate";
pub(crate) const CREATE: &str = "create";
pub(crate) const ERROR: &str = "error";
pub(crate) const EVENT: &str = "event";
pub(crate) const EVERY: &str = "every";
pub(crate) const FACT: &str = "fact";
pub(crate) const ID: &str = "id";
pub(crate) const INPUT: &str = "input";
pub(crate) const NAME: &str = "name";
pub(crate) const ONLY: &str = "only";
pub(crate) const PROCESS: &str = "process";
pub(crate) const RETIRED: &str = "retired";
pub(crate) const ROUTE: &str = "route";
pub(crate) const SCHEMARS: &str = "schemars";
pub(crate) const PUBLISHED: &str = "published";
pub(crate) const SERDE: &str = "serde";
pub(crate) const SHAPE: &str = "shape";
pub(crate) const SNAPSHOT: &str = "snapshot";
pub(crate) const START: &str = "start";
pub(crate) const TAG: &str = "tag";
pub(crate) const TIMER: &str = "timer";
pub(crate) const TO: &str = "to";
pub(crate) const UNION: &str = "union";
pub(crate) const UNKNOWN: &str = "unknown";
pub(crate) const UNLOCKED: &str = "unlocked";
pub(crate) const UPCAST: &str = "upcast";
pub(crate) const VERSION: &str = "version";
pub(crate) const WITH: &str = "with";

/// The longest stored name, as in core.
const MAX_NAME: usize = 128;

/// `MoneyDeposited` as `money_deposited`, `HTTPCall` as `http_call`.
pub(crate) fn snake_case(ident: &Ident) -> String {
    let letters: Vec<char> = ident.unraw().to_string().chars().collect();
    let mut snake = String::new();
    for (i, &letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| letters[i]);
        let after = letters.get(i + 1);
        let starts_word = before.is_some_and(|c| !c.is_uppercase() && c != '_')
            || (before.is_some_and(char::is_uppercase) && after.is_some_and(|c| c.is_lowercase()));
        if letter.is_uppercase() && starts_word {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// Why a text can't be a stored name, if so.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("a stored name must not be empty".to_owned());
    }
    if name.len() > MAX_NAME {
        return Some(format!("a stored name has at most {MAX_NAME} bytes, but `{name}` has {}", name.len()));
    }
    if name == "recount" || name.starts_with("recount.") {
        return Some(format!("names that begin with `recount.` are recount's own: give `{name}` another name"));
    }
    let bad = name.chars().find(|c| c.is_whitespace() || c.is_control())?;
    Some(format!("a stored name holds no blanks and no control characters, but this one holds {bad:?}"))
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    #[test]
    fn words_are_found_in_camel_case() {
        let cases = [
            ("Opened", "opened"),
            ("MoneyDeposited", "money_deposited"),
            ("HTTPCalled", "http_called"),
            ("Sold2Much", "sold2_much"),
            ("already_snake", "already_snake"),
            ("Über", "über"),
            ("A", "a"),
        ];
        for (camel, snake) in cases {
            assert_eq!(snake_case(&Ident::new(camel, Span::call_site())), snake);
        }
        assert_eq!(snake_case(&Ident::new_raw("Type", Span::call_site())), "type");
    }

    #[test]
    fn a_stored_name_is_checked() {
        assert_eq!(name_problem("account.opened"), None);
        assert_eq!(name_problem("recounted.twice"), None);
        assert_eq!(name_problem(&"a".repeat(128)), None);
        for bad in ["", "a b", "a\0", "a\n", "a\u{a0}b", "recount.refused", "recount", &"a".repeat(129)] {
            assert!(name_problem(bad).is_some(), "{bad:?}");
        }
    }
}
