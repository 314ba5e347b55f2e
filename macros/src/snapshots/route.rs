#[allow(deprecated)]
const _: () = {
    const _: () = ::core::assert!(
        ! ::recount::__private::is_choice(< Paid as ::recount::Event > ::LISTED),
        "this event type is a choice of events: name those that are heard with `#[event(only(…))]`, or route them by a function, `#[route(with = …)]`"
    );
    #[automatically_derived]
    impl ::recount::Route for Input {
        type Id = OrderId;
        const ROUTES: &'static [::recount::RouteOf] = &[
            ::recount::RouteOf {
                variant: "Order",
                only: &["Placed", "Cancelled"],
                starts: &["Placed"],
                by: "order",
            },
            ::recount::RouteOf {
                variant: "Paid",
                only: &[],
                starts: &["Paid"],
                by: "0",
            },
            ::recount::RouteOf {
                variant: "Wave",
                only: &[],
                starts: &[],
                by: "waves::orders_of",
            },
        ];
        fn route(&self, __routed: &mut ::recount::Routed<Self::Id>) {
            match self {
                Self::Order(__event) => {
                    match __event {
                        OrderEvent::Placed { order: __id, .. } => {
                            ::recount::Routed::start(
                                __routed,
                                ::recount::__private::instance_id::<OrderId, _>(__id),
                            )
                        }
                        OrderEvent::Cancelled { order: __id, .. } => {
                            ::recount::Routed::to(
                                __routed,
                                ::recount::__private::instance_id::<OrderId, _>(__id),
                            )
                        }
                        #[allow(unreachable_patterns)]
                        _ => {}
                    }
                }
                Self::Paid(__event) => {
                    ::recount::Routed::start(
                        __routed,
                        ::recount::__private::instance_id::<OrderId, _>(&__event.0),
                    )
                }
                Self::Wave(__event) => {
                    let __route: fn(&WaveEvent, &mut ::recount::Routed<OrderId>) = waves::orders_of;
                    __route(__event, __routed)
                }
            }
        }
    }
};
