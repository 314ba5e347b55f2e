use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{Token, TokenSink, Tree, trace};

fn bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    trace(value, &mut bytes).unwrap();
    bytes
}

#[derive(Serialize)]
struct Item {
    price: f64,
    note: Option<Option<&'static str>>,
}

#[derive(Serialize)]
struct Order {
    items: Vec<Item>,
}

fn order(price: f64, note: Option<Option<&'static str>>) -> Order {
    Order { items: vec![Item { price: 1.0, note: None }, Item { price, note }] }
}

fn difference(a: &impl Serialize, b: &impl Serialize) -> Option<(String, String, String)> {
    let difference = Tree::of(a).unwrap().difference(&Tree::of(b).unwrap())?;
    Some((difference.path, difference.first, difference.second))
}

fn told(path: &str, first: &str, second: &str) -> Option<(String, String, String)> {
    Some((path.to_owned(), first.to_owned(), second.to_owned()))
}

#[test]
fn values_that_json_does_not_tell_apart_have_other_tokens() {
    assert_eq!(bytes(&order(f64::NAN, None)), bytes(&order(f64::NAN, None)));
    assert_ne!(bytes(&None::<Option<u8>>), bytes(&Some(None::<u8>)));
    assert_ne!(bytes(&Some(())), bytes(&None::<()>));
    assert_ne!(bytes(&0.0_f64), bytes(&-0.0_f64));
    assert_ne!(bytes(&1_u8), bytes(&1_u16));
    assert_ne!(bytes(&("ab", "c")), bytes(&("a", "bc")));
    assert_ne!(bytes(&[1_u8, 2]), bytes(&(1_u8, 2_u8, 3_u8)));
}

#[test]
fn the_first_difference_is_named_by_its_path() {
    assert_eq!(difference(&order(f64::NAN, None), &order(2.0, None)), told("items[1].price", "NaN", "2_f64"));
    assert_eq!(difference(&order(1.0, Some(None)), &order(1.0, None)), told("items[1].note", "Some(None)", "None"));
    assert_eq!(difference(&order(1.0, None), &order(1.0, None)), None);
    let map = |value| HashMap::from([("a", HashMap::from([(1, value)]))]);
    assert_eq!(difference(&map(1.5), &map(2.5)), told("a[1_i32]", "1.5_f64", "2.5_f64"));
}

#[test]
fn the_order_of_maps_and_sets_does_not_count() {
    let many = || (0..100).collect::<HashSet<_>>();
    let maps = || (0..100).map(|key| (key, many())).collect::<HashMap<_, _>>();
    assert_eq!(difference(&maps(), &maps()), None);
    let mut fewer = maps();
    fewer.get_mut(&5).unwrap().remove(&7);
    assert_eq!(difference(&maps(), &fewer), told("[5_i32]", "a list", "a list"));
}

#[test]
fn a_sink_can_leave_out_fields_that_are_none() {
    struct Digest(Vec<u8>);
    impl TokenSink for Digest {
        const OMITS_NONE: bool = true;
        fn token(&mut self, token: Token<'_>) {
            self.0.token(token);
        }
    }
    #[derive(Serialize)]
    #[serde(rename = "C")]
    struct Old {
        a: u8,
    }
    #[derive(Serialize)]
    #[serde(rename = "C")]
    struct New {
        a: u8,
        b: Option<u8>,
    }
    let digest = |value: &dyn Fn(&mut Digest)| {
        let mut sink = Digest(Vec::new());
        value(&mut sink);
        sink.0
    };
    let old = digest(&|sink| trace(&Old { a: 1 }, sink).unwrap());
    assert_eq!(old, digest(&|sink| trace(&New { a: 1, b: None }, sink).unwrap()));
    assert_ne!(old, digest(&|sink| trace(&New { a: 1, b: Some(0) }, sink).unwrap()));
    let list = digest(&|sink| trace(&[None::<u8>], sink).unwrap());
    assert_ne!(list, digest(&|sink| trace(&[None::<u8>; 0], sink).unwrap()));
}
