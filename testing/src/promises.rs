//! The list of a suite's promises, as tests.

/// Makes a test of each promise of a suite that takes a harness of read models.
#[doc(hidden)]
#[macro_export]
macro_rules! __promises {
    ($suite:ident, $harness:expr; $($topic:ident { $($promise:ident)* })*) => {
        $(mod $topic {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $promise() {
                $crate::read_model::check(async { $harness }, async |harness| {
                    $crate::$suite::$topic::$promise(harness).await;
                });
            })*
        })*
    };
}
