//! What the events of all say: the sale of an article, some 150 bytes as JSON.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    pub article: String,
    pub pieces: u32,
    pub cents: i64,
    pub customer: String,
    pub note: Option<String>,
}

/// The sale of this number.
pub fn sale(number: u32) -> Sale {
    Sale {
        article: format!("article-{:06}", number % 5000),
        pieces: 1 + number % 7,
        cents: 995 + i64::from(number % 100),
        customer: format!("customer-{:08}", number % 20_000),
        note: Some("leave it with the neighbours if nobody opens".to_owned()),
    }
}
