#[allow(deprecated)]
const _: () = {
    #[allow(unused_imports)]
    use my::recount::__private::Unknown as _;
    const _: () = ::core::assert!(
        ! (my::recount::__private::Probe:: < Option < CustomerId > > ::FORM)
        .confuses_none(),
        "`Some(None)` and `None` are both stored as null, so the one would come back as the other: use an enum that tells them apart, or `#[serde(with = \"…\")]`"
    );
    #[derive(
        my::recount::__private::serde::Serialize,
        my::recount::__private::serde::Deserialize,
        my::recount::__private::schemars::JsonSchema
    )]
    #[serde(crate = "my::recount::__private::serde", remote = "OrderPlaced")]
    #[schemars(crate = "my::recount::__private::schemars")]
    #[allow(
        dead_code,
        non_camel_case_types,
        non_snake_case,
        clippy::all,
        clippy::pedantic
    )]
    struct __Payload {
        customer: Option<CustomerId>,
        cds: u32,
    }
    #[automatically_derived]
    impl my::recount::__private::Payload for OrderPlaced {
        fn serialize<__S: my::recount::__private::serde::Serializer>(
            &self,
            __serializer: __S,
        ) -> ::core::result::Result<__S::Ok, __S::Error> {
            __Payload::serialize(self, __serializer)
        }
        fn deserialize<'__de, __D: my::recount::__private::serde::Deserializer<'__de>>(
            __deserializer: __D,
        ) -> ::core::result::Result<Self, __D::Error> {
            __Payload::deserialize(__deserializer)
        }
        fn differing(
            &self,
            __other: &Self,
        ) -> ::core::option::Option<&'static ::core::primitive::str> {
            #[allow(unused_imports)]
            use my::recount::__private::NoEquality as _;
            match (self, __other) {
                (Self { customer: __first0, .. }, Self { customer: __second0, .. }) => {
                    if my::recount::__private::differs(
                        my::recount::__private::Equality::<Option<CustomerId>>::EQUAL,
                        __first0,
                        __second0,
                    ) {
                        return ::core::option::Option::Some("customer");
                    }
                    ::core::option::Option::None
                }
            }
        }
    }
    #[automatically_derived]
    impl my::recount::Event for OrderPlaced {
        const LISTED: ::core::option::Option<
            &'static [my::recount::__private::Listed],
        > = ::core::option::Option::Some(
            &[
                my::recount::__private::Listed::new(
                        "OrderPlaced",
                        "order.placed",
                        1u32,
                        &[],
                        my::recount::__private::payload_schema::<__Payload>,
                        my::recount::shape::Form::Object(
                            &[
                                my::recount::shape::Field {
                                    name: "customer",
                                    aliases: &[],
                                    required: false,
                                    flat: false,
                                    form: my::recount::__private::Probe::<
                                        Option<CustomerId>,
                                    >::FORM,
                                },
                                my::recount::shape::Field {
                                    name: "cds",
                                    aliases: &[],
                                    required: true,
                                    flat: false,
                                    form: my::recount::__private::Probe::<u32>::FORM,
                                },
                            ],
                        ),
                        my::recount::shape::Fidelity::all(
                            &[
                                my::recount::__private::Probe::<
                                    Option<CustomerId>,
                                >::FIDELITY,
                                my::recount::__private::Probe::<u32>::FIDELITY,
                            ],
                        ),
                    )
                    .of(my::recount::RustType::of::<Self>),
            ],
        );
        #[inline]
        fn variants() -> ::std::vec::Vec<my::recount::EventVariant> {
            my::recount::__private::variants(<Self as my::recount::Event>::LISTED)
        }
        #[inline]
        fn encode(
            &self,
        ) -> ::core::result::Result<my::recount::EventData, my::recount::EncodeError> {
            let mut __tags = ::std::vec::Vec::new();
            let __index = match self {
                Self { customer: __field0, .. } => {
                    <Option<
                        CustomerId,
                    > as my::recount::ToTags>::tags(__field0, "customer", &mut __tags)?;
                    0usize
                }
            };
            my::recount::__private::encode(self, __index, __tags)
        }
        #[inline]
        fn decode(
            __type: &::core::primitive::str,
            __version: ::core::primitive::u32,
            __payload: &[::core::primitive::u8],
        ) -> ::core::result::Result<Self, my::recount::DecodeError> {
            let (__index, __version) = my::recount::__private::find(
                <Self as my::recount::Event>::LISTED,
                __type,
                __version,
            )?;
            my::recount::__private::decode(__index, __type, __version, __payload)
        }
    }
};
