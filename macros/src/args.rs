//! The text of our attributes: `#[event(key, key = value, key(values))]`.
//!
//! A bad argument doesn't hide the mistakes in the next one, so attributes are first split at their commas, and each
//! argument's value is then read for itself.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::parse::{Parse, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, LitInt, LitStr, Meta, Token};

use crate::errors::Errors;
use crate::names::name_problem;

pub(crate) struct Arg {
    pub(crate) key: Ident,
    value: Value,
}

enum Value {
    None,
    Assigned(TokenStream),
    Listed(TokenStream),
}

/// The arguments of all attributes of one name at one place.
pub(crate) struct Args {
    attribute: &'static str,
    args: Vec<Arg>,
}

impl Args {
    pub(crate) fn new(attribute: &'static str, attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut args = Vec::new();
        for attr in attributes.iter().filter(|attr| attr.path().is_ident(attribute)) {
            match &attr.meta {
                Meta::List(list) => split(list.tokens.clone(), &mut args, errors),
                other => errors.at(other, format!("write the arguments in parentheses: `#[{attribute}(…)]`")),
            }
        }
        Self { attribute, args }
    }

    /// Takes the argument of this name; a second one is a mistake.
    pub(crate) fn take(&mut self, key: &str, errors: &mut Errors) -> Option<Arg> {
        let mut all = self.take_all(key).into_iter();
        let first = all.next();
        for again in all {
            errors.at(&again.key, format!("`{key}` is given twice: keep one"));
        }
        first
    }

    /// Takes every argument of this name.
    pub(crate) fn take_all(&mut self, key: &str) -> Vec<Arg> {
        let (taken, rest) = self.args.drain(..).partition(|arg| arg.key == key);
        self.args = rest;
        taken
    }

    /// Whether there is an argument of this name.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.args.iter().any(|arg| arg.key == key)
    }

    /// Their keys, in their order.
    pub(crate) fn into_keys(self) -> impl Iterator<Item = Ident> {
        self.args.into_iter().map(|arg| arg.key)
    }

    /// Reports the arguments that were not taken as mistakes.
    pub(crate) fn refuse_rest(self, place: &str, known: &[&str], errors: &mut Errors) {
        let attribute = self.attribute;
        for arg in self.args {
            let key = &arg.key;
            let cure = match known {
                [] => format!("`#[{attribute}(…)]` has no place here"),
                [known] => format!("known here is `{known}`"),
                _ => format!("known here are `{}`", known.join("`, `")),
            };
            errors.at(key, format!("`{key}` means nothing on {place}: {cure}"));
        }
    }
}

impl Arg {
    pub(crate) fn flag(self, errors: &mut Errors) -> bool {
        let key = &self.key;
        match &self.value {
            Value::None => {}
            Value::Assigned(value) | Value::Listed(value) if value.is_empty() => {
                errors.at(key, format!("`{key}` takes no value: write just `{key}`"));
            }
            Value::Assigned(value) | Value::Listed(value) => {
                errors.at(value, format!("`{key}` takes no value: write just `{key}`"));
            }
        }
        true
    }

    /// Whether it is the key alone.
    pub(crate) fn is_bare(&self) -> bool {
        matches!(self.value, Value::None)
    }

    /// Whether it has parentheses.
    pub(crate) fn is_listed(&self) -> bool {
        matches!(self.value, Value::Listed(_))
    }

    pub(crate) fn text(self, errors: &mut Errors) -> Option<LitStr> {
        self.value("\"…\"", errors)
    }

    /// A text that is stored: checked.
    pub(crate) fn name(self, errors: &mut Errors) -> Option<LitStr> {
        let name = self.text(errors)?;
        match name_problem(&name.value()) {
            Some(problem) => {
                errors.at(&name, problem);
                None
            }
            None => Some(name),
        }
    }

    /// A number from 1.
    pub(crate) fn count<N: TryFrom<u64>>(self, what: &str, errors: &mut Errors) -> Option<(N, Span)> {
        let literal: LitInt = self.value("1", errors)?;
        match literal.base10_parse::<u64>().ok().filter(|number| *number > 0).and_then(|n| N::try_from(n).ok()) {
            Some(number) => Some((number, literal.span())),
            None => {
                errors.at(&literal, format!("{what}: write a whole number from 1"));
                None
            }
        }
    }

    /// The value right of the equals sign.
    pub(crate) fn value<T: Parse>(self, example: &str, errors: &mut Errors) -> Option<T> {
        let key = &self.key;
        let cure = format!("write `{key} = {example}`");
        match self.value {
            Value::Assigned(value) if !value.is_empty() => match syn::parse2(value.clone()) {
                Ok(value) => return Some(value),
                Err(_) => errors.at(&value, format!("this is no value for `{key}`: {cure}")),
            },
            Value::Listed(value) if !value.is_empty() => errors.at(&value, cure),
            _ => errors.at(key, format!("`{key}` needs a value: {cure}")),
        }
        None
    }

    /// The list in the parentheses.
    pub(crate) fn list<T: Parse>(self, example: &str, errors: &mut Errors) -> Option<Vec<T>> {
        let key = &self.key;
        let cure = format!("write `{key}({example})`");
        match self.value {
            Value::Listed(values) => match Punctuated::<T, Token![,]>::parse_terminated.parse2(values) {
                Ok(values) => return Some(values.into_iter().collect()),
                Err(error) => errors.here(error.span(), format!("this has no place in `{key}(…)`: {cure}")),
            },
            Value::Assigned(value) if !value.is_empty() => errors.at(&value, cure),
            _ => errors.at(key, format!("`{key}` needs its parts in parentheses: {cure}")),
        }
        None
    }

    /// The arguments in the parentheses.
    pub(crate) fn args(self, attribute: &'static str, example: &str, errors: &mut Errors) -> Option<Args> {
        let key = &self.key;
        let Value::Listed(tokens) = self.value else {
            errors.at(key, format!("write `{key}({example})`"));
            return None;
        };
        let mut args = Vec::new();
        split(tokens, &mut args, errors);
        Some(Args { attribute, args })
    }
}

fn split(tokens: TokenStream, args: &mut Vec<Arg>, errors: &mut Errors) {
    let mut arg = Vec::new();
    let mut angles = 0_u32;
    for token in tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' && angles == 0 => {
                args.extend(read(std::mem::take(&mut arg), errors));
                continue;
            }
            TokenTree::Punct(punct) if punct.as_char() == '<' => angles += 1,
            TokenTree::Punct(punct) if punct.as_char() == '>' => angles = angles.saturating_sub(1),
            _ => {}
        }
        arg.push(token);
    }
    args.extend(read(arg, errors));
}

fn read(tokens: Vec<TokenTree>, errors: &mut Errors) -> Option<Arg> {
    let mut tokens = tokens.into_iter();
    let key = match tokens.next()? {
        TokenTree::Ident(key) => key,
        other => {
            let rest: TokenStream = std::iter::once(other).chain(tokens).collect();
            errors.at(&rest, "write `key`, `key = value` or `key(values)`");
            return None;
        }
    };
    let value = match tokens.next() {
        None => Value::None,
        Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => Value::Assigned(tokens.by_ref().collect()),
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => Value::Listed(group.stream()),
        Some(other) => {
            errors.at(&other, format!("after `{key}` write `,`, `= value` or `(values)`"));
            return None;
        }
    };
    if let Some(extra) = tokens.next() {
        errors.at(&extra, "put a comma before this");
    }
    Some(Arg { key, value })
}
