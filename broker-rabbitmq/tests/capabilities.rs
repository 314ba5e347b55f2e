//! The table of what RabbitMQ can do for a binding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Server, unique};
use expect_test::expect;
use recount_messaging::{Broker, Order};

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_a_group_with_order_is_known() {
    let broker = Server::shared().await.broker().await;
    let table = broker.capabilities(&unique().order(Order::PerKey)).to_string();
    expect![[r#"
        messages survive a crash  yes
        order                     within each of 8 lanes
        acknowledgement           each message, not confirmed, survives a crash
        lease                     30 min, not extended, 30 min in total
        delayed retry             none
        released message          to the front, counts as a delivery
        count of deliveries       approximate
        dead letters              moved by the broker, none is lost
        limit of attempts         100000
        dedupe on publish         none
        publish request           any number messages, any size, several messages of a key
        greatest message          16 MiB without headers, from the documentation
        headers                   256, 125 KiB
        key                       any text, any size
        envelope                  attributes in headers
        read again                no
        late group gets history   no
        consumers of a group      one for each lane at most
        replies                   by a topic of replies
        unused group is removed   never"#]]
    .assert_eq(&table);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_a_group_without_order_is_known() {
    let broker = Server::shared().await.broker().await;
    let table = broker.capabilities(&unique().order(Order::Unordered)).to_string();
    expect![[r#"
        messages survive a crash  yes
        order                     none
        acknowledgement           each message, not confirmed, survives a crash
        lease                     30 min, not extended, 30 min in total
        delayed retry             none
        released message          anywhere, counts as a delivery
        count of deliveries       approximate
        dead letters              moved by the broker, none is lost
        limit of attempts         100000
        dedupe on publish         none
        publish request           any number messages, any size, several messages of a key
        greatest message          16 MiB without headers, from the documentation
        headers                   256, 125 KiB
        key                       any text, any size
        envelope                  attributes in headers
        read again                no
        late group gets history   no
        consumers of a group      any number
        replies                   by a topic of replies
        unused group is removed   never"#]]
    .assert_eq(&table);
}
