//! The spelling rules of serde's `rename_all`.

use syn::ext::IdentExt;

/// A value of `rename_all`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Rule {
    #[default]
    None,
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

pub(crate) fn rule(name: Option<&str>) -> Rule {
    match name {
        Some("lowercase") => Rule::Lower,
        Some("UPPERCASE") => Rule::Upper,
        Some("PascalCase") => Rule::Pascal,
        Some("camelCase") => Rule::Camel,
        Some("snake_case") => Rule::Snake,
        Some("SCREAMING_SNAKE_CASE") => Rule::ScreamingSnake,
        Some("kebab-case") => Rule::Kebab,
        Some("SCREAMING-KEBAB-CASE") => Rule::ScreamingKebab,
        _ => Rule::None,
    }
}

impl Rule {
    /// The stored name of a field with a Rust name in snake case.
    pub(crate) fn field(self, name: &str) -> String {
        match self {
            Self::None | Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => name.split('_').map(capitalised).collect(),
            Self::Camel => uncapitalised(&Self::Pascal.field(name)),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }

    /// The stored name of a variant with a Rust name in camel case.
    pub(crate) fn variant(self, ident: &syn::Ident) -> String {
        let name = ident.unraw().to_string();
        match self {
            Self::None | Self::Pascal => name,
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Camel => uncapitalised(&name),
            Self::Snake => each_capital(&name),
            Self::ScreamingSnake => each_capital(&name).to_ascii_uppercase(),
            Self::Kebab => each_capital(&name).replace('_', "-"),
            Self::ScreamingKebab => each_capital(&name).to_ascii_uppercase().replace('_', "-"),
        }
    }
}

/// As in serde, every capital letter starts a word. This differs from recount's own names.
fn each_capital(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn uncapitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn the_rules_spell_as_serde_does() {
        let rules = [
            ("lowercase", "order_id", "orderid"),
            ("UPPERCASE", "ORDER_ID", "ORDERID"),
            ("PascalCase", "OrderId", "OrderId"),
            ("camelCase", "orderId", "orderId"),
            ("snake_case", "order_id", "order_id"),
            ("SCREAMING_SNAKE_CASE", "ORDER_ID", "ORDER_ID"),
            ("kebab-case", "order-id", "order-id"),
            ("SCREAMING-KEBAB-CASE", "ORDER-ID", "ORDER-ID"),
        ];
        for (name, field, variant) in rules {
            let rule = rule(Some(name));
            assert_eq!(
                (rule.field("order_id").as_str(), rule.variant(&parse_quote!(OrderId)).as_str()),
                (field, variant)
            );
        }
    }
}
