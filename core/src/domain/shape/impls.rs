//! The forms of the usual types, as serde writes them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::{Fidelity, Field, Form, Shape};

macro_rules! leaves {
    ($fidelity:ident $($type:ty: $name:literal,)*) => {$(
        impl Shape for $type {
            const FORM: Form = Form::Leaf($name);
            const FIDELITY: Fidelity = Fidelity::$fidelity;
        }
    )*};
}

leaves! { Exact
    bool: "bool", char: "char", str: "string", String: "string", (): "null", smol_str::SmolStr: "string",
    u8: "u8", u16: "u16", u32: "u32", u64: "u64", u128: "u128", usize: "u64",
    i8: "i8", i16: "i16", i32: "i32", i64: "i64", i128: "i128", isize: "i64",
    std::num::NonZeroU8: "positive u8", std::num::NonZeroU16: "positive u16", std::num::NonZeroU32: "positive u32",
    std::num::NonZeroU64: "positive u64",
    std::net::IpAddr: "ip", std::net::Ipv4Addr: "ipv4", std::net::Ipv6Addr: "ipv6",
    uuid::Uuid: "uuid",
    jiff::civil::Date: "date", jiff::civil::Time: "time", jiff::civil::DateTime: "date-time", jiff::Timestamp: "timestamp",
}

// NaN and the infinities are encoded as null.
leaves! { ExactWithoutNull
    f32: "f32", f64: "f64",
}

// The JSON of these types depends on features of their crates, or omits a part, such as the seconds of an offset.
#[cfg(feature = "chrono")]
leaves! { Unknown
    chrono::NaiveDate: "date", chrono::NaiveTime: "time", chrono::NaiveDateTime: "date-time",
    chrono::DateTime<chrono::Utc>: "timestamp", chrono::DateTime<chrono::FixedOffset>: "timestamp",
}

#[cfg(feature = "rust_decimal")]
leaves! { Unknown
    rust_decimal::Decimal: "decimal",
}

// Which format serde writes is a choice of that crate's features, so these are formats of their own.
#[cfg(feature = "time")]
leaves! { Unknown
    time::Date: "time::Date", time::Time: "time::Time", time::PrimitiveDateTime: "time::PrimitiveDateTime",
    time::OffsetDateTime: "time::OffsetDateTime",
}

macro_rules! same_as_within {
    ($($type:ty,)*) => {$(
        impl<T: Shape + ?Sized> Shape for $type {
            const FORM: Form = T::FORM;
            const FIDELITY: Fidelity = T::FIDELITY;
        }
    )*};
}

same_as_within! { &T, Box<T>, Rc<T>, Arc<T>, }

impl<T: Shape + ToOwned + ?Sized> Shape for Cow<'_, T> {
    const FORM: Form = T::FORM;
    const FIDELITY: Fidelity = T::FIDELITY;
}

impl<T: Shape> Shape for Option<T> {
    const FORM: Form = Form::Option(&T::FORM);
    const FIDELITY: Fidelity = T::FIDELITY.optional(&T::FORM);
}

macro_rules! lists {
    ($($type:ty $(, $hasher:ident)?;)*) => {$(
        impl<T: Shape $(, $hasher)?> Shape for $type {
            const FORM: Form = Form::List(&T::FORM);
            const FIDELITY: Fidelity = T::FIDELITY;
        }
    )*};
}

lists! { [T]; Vec<T>; VecDeque<T>; LinkedList<T>; BinaryHeap<T>; BTreeSet<T>; HashSet<T, S>, S; }

impl<K: Shape, V: Shape> Shape for BTreeMap<K, V> {
    const FORM: Form = Form::Map(&K::FORM, &V::FORM);
    const FIDELITY: Fidelity = K::FIDELITY.and(V::FIDELITY);
}

impl<K: Shape, V: Shape, S> Shape for HashMap<K, V, S> {
    const FORM: Form = Form::Map(&K::FORM, &V::FORM);
    const FIDELITY: Fidelity = K::FIDELITY.and(V::FIDELITY);
}

impl<T: Shape, const N: usize> Shape for [T; N] {
    const FORM: Form = Form::Tuple(&[T::FORM; N]);
    const FIDELITY: Fidelity = T::FIDELITY;
}

macro_rules! tuples {
    ($(($($type:ident)*))*) => {$(
        impl<$($type: Shape),*> Shape for ($($type,)*) {
            const FORM: Form = Form::Tuple(&[$($type::FORM),*]);
            const FIDELITY: Fidelity = Fidelity::all(&[$($type::FIDELITY),*]);
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

impl Shape for std::time::Duration {
    const FORM: Form = Form::Object(&[part("secs", "u64"), part("nanos", "u32")]);
    const FIDELITY: Fidelity = Fidelity::Exact;
}

const fn part(name: &'static str, leaf: &'static str) -> Field {
    Field { name, aliases: &[], required: true, flat: false, form: Form::Leaf(leaf) }
}
