//! Read models in SQLite keep the promises of every read model, in a file of their own and in the store's.

mod common;

use common::models::Sqlite;

mod own_file {
    use super::*;
    recount_testing::read_model_suite!(Sqlite::in_its_own_file());
}

mod store_file {
    use super::*;
    recount_testing::read_model_suite!(Sqlite::in_the_store());
}
