#[allow(deprecated)]
const _: () = {
    #[allow(unused_imports)]
    use ::recount::__private::Unknown as _;
    #[derive(
        ::recount::__private::serde::Serialize,
        ::recount::__private::serde::Deserialize
    )]
    #[serde(crate = "::recount::__private::serde", remote = "OrderTimer")]
    #[allow(
        dead_code,
        non_camel_case_types,
        non_snake_case,
        clippy::all,
        clippy::pedantic
    )]
    enum __Payload {
        PaymentOverdue {},
        Restock { sku: u64, #[serde(default)] shelf: Shelf },
    }
    #[automatically_derived]
    impl ::recount::__private::Payload for OrderTimer {
        fn serialize<__S: ::recount::__private::serde::Serializer>(
            &self,
            __serializer: __S,
        ) -> ::core::result::Result<__S::Ok, __S::Error> {
            __Payload::serialize(self, __serializer)
        }
        fn deserialize<'__de, __D: ::recount::__private::serde::Deserializer<'__de>>(
            __deserializer: __D,
        ) -> ::core::result::Result<Self, __D::Error> {
            __Payload::deserialize(__deserializer)
        }
        fn differing(
            &self,
            __other: &Self,
        ) -> ::core::option::Option<&'static ::core::primitive::str> {
            #[allow(unused_imports)]
            use ::recount::__private::NoEquality as _;
            match (self, __other) {
                (
                    Self::Restock { shelf: __first1, .. },
                    Self::Restock { shelf: __second1, .. },
                ) => {
                    if ::recount::__private::differs(
                        ::recount::__private::Equality::<Shelf>::EQUAL,
                        __first1,
                        __second1,
                    ) {
                        return ::core::option::Option::Some("shelf");
                    }
                    ::core::option::Option::None
                }
                _ => ::core::option::Option::None,
            }
        }
    }
    #[automatically_derived]
    impl ::recount::Timer for OrderTimer {
        const NAMES: &'static [&'static ::core::primitive::str] = &[
            "payment_overdue",
            "stock",
        ];
        fn to_text(
            &self,
        ) -> ::core::result::Result<::std::string::String, ::recount::TimerError> {
            match self {
                Self::PaymentOverdue => {
                    ::core::result::Result::Ok(
                        ::std::string::String::from("payment_overdue"),
                    )
                }
                Self::Restock { .. } => {
                    const __FIDELITY: ::recount::shape::Fidelity = ::recount::shape::Fidelity::all(
                        &[
                            ::recount::__private::Probe::<u64>::FIDELITY,
                            ::recount::__private::Probe::<Shelf>::FIDELITY,
                        ],
                    );
                    ::recount::__private::timer_to_text(
                        self,
                        1usize,
                        "stock",
                        __FIDELITY,
                    )
                }
            }
        }
        fn from_text(
            __text: &::core::primitive::str,
        ) -> ::core::result::Result<Self, ::recount::TimerError> {
            let (__name, __fields) = ::recount::__private::timer_parts(__text);
            match __name {
                "payment_overdue" => {
                    ::recount::__private::timer_from_text(0usize, __name, __fields)
                }
                "stock" | "refill" | "restock" => {
                    ::recount::__private::timer_from_text(1usize, __name, __fields)
                }
                _ => ::core::result::Result::Err(::recount::TimerError::unknown(__name)),
            }
        }
    }
};
