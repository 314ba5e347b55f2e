//! Read models in Postgres keep the promises of every read model, in the store's database and in another one.

mod common;

use common::models::Models;

mod own_database {
    use super::*;
    recount_testing::read_model_suite!(Models::apart().await);
}

mod store_database {
    use super::*;
    recount_testing::read_model_suite!(Models::in_the_store().await);
}
