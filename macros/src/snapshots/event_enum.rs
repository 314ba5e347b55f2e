#[allow(deprecated)]
const _: () = {
    #[allow(unused_imports)]
    use ::recount::__private::Unknown as _;
    #[derive(
        ::recount::__private::serde::Serialize,
        ::recount::__private::serde::Deserialize,
        ::recount::__private::schemars::JsonSchema
    )]
    #[serde(crate = "::recount::__private::serde", remote = "AccountEvent")]
    #[schemars(crate = "::recount::__private::schemars")]
    #[schemars(untagged)]
    #[allow(
        dead_code,
        non_camel_case_types,
        non_snake_case,
        clippy::all,
        clippy::pedantic
    )]
    enum __Payload {
        Opened { owner: String },
        Deposited { #[serde(default)] amount: i64, branch: BranchId },
        Closed {},
        Moved(BranchId, u8),
    }
    #[automatically_derived]
    impl ::recount::__private::Payload for AccountEvent {
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
                    Self::Deposited { branch: __first1, .. },
                    Self::Deposited { branch: __second1, .. },
                ) => {
                    if ::recount::__private::differs(
                        ::recount::__private::Equality::<BranchId>::EQUAL,
                        __first1,
                        __second1,
                    ) {
                        return ::core::option::Option::Some("branch");
                    }
                    ::core::option::Option::None
                }
                (Self::Moved { 0: __first0, .. }, Self::Moved { 0: __second0, .. }) => {
                    if ::recount::__private::differs(
                        ::recount::__private::Equality::<BranchId>::EQUAL,
                        __first0,
                        __second0,
                    ) {
                        return ::core::option::Option::Some("[0]");
                    }
                    ::core::option::Option::None
                }
                _ => ::core::option::Option::None,
            }
        }
    }
    #[automatically_derived]
    impl ::recount::Event for AccountEvent {
        const LISTED: ::core::option::Option<&'static [::recount::__private::Listed]> = ::core::option::Option::Some(
            &[
                ::recount::__private::Listed::new(
                        "Opened",
                        "account.opened",
                        1u32,
                        &[],
                        ::recount::__private::variant_schema::<__Payload, 0usize>,
                        ::recount::shape::Form::Object(
                            &[
                                ::recount::shape::Field {
                                    name: "owner",
                                    aliases: &[],
                                    required: true,
                                    flat: false,
                                    form: ::recount::__private::Probe::<String>::FORM,
                                },
                            ],
                        ),
                        ::recount::__private::Probe::<String>::FIDELITY,
                    )
                    .of(::recount::RustType::of::<Self>),
                ::recount::__private::Listed::new(
                        "Deposited",
                        "account.deposited",
                        3u32,
                        &["account.paid_in"],
                        ::recount::__private::variant_schema::<__Payload, 1usize>,
                        ::recount::shape::Form::Object(
                            &[
                                ::recount::shape::Field {
                                    name: "amount",
                                    aliases: &[],
                                    required: false,
                                    flat: false,
                                    form: ::recount::__private::Probe::<i64>::FORM,
                                },
                                ::recount::shape::Field {
                                    name: "branch",
                                    aliases: &[],
                                    required: true,
                                    flat: false,
                                    form: ::recount::__private::Probe::<BranchId>::FORM,
                                },
                            ],
                        ),
                        ::recount::shape::Fidelity::all(
                            &[
                                ::recount::__private::Probe::<i64>::FIDELITY,
                                ::recount::__private::Probe::<BranchId>::FIDELITY,
                            ],
                        ),
                    )
                    .of(::recount::RustType::of::<Self>)
                    .upcasters(&["v1", "v2"]),
                ::recount::__private::Listed::new(
                        "Closed",
                        "account.gone",
                        1u32,
                        &[],
                        ::recount::__private::variant_schema::<__Payload, 2usize>,
                        ::recount::shape::Form::Object(&[]),
                        ::recount::shape::Fidelity::Exact,
                    )
                    .of(::recount::RustType::of::<Self>)
                    .retired(),
                ::recount::__private::Listed::new(
                        "Moved",
                        "account.moved",
                        1u32,
                        &[],
                        ::recount::__private::variant_schema::<__Payload, 3usize>,
                        ::recount::shape::Form::Tuple(
                            &[
                                ::recount::__private::Probe::<BranchId>::FORM,
                                ::recount::__private::Probe::<u8>::FORM,
                            ],
                        ),
                        ::recount::shape::Fidelity::all(
                            &[
                                ::recount::__private::Probe::<BranchId>::FIDELITY,
                                ::recount::__private::Probe::<u8>::FIDELITY,
                            ],
                        ),
                    )
                    .of(::recount::RustType::of::<Self>),
            ],
        );
        #[inline]
        fn variants() -> ::std::vec::Vec<::recount::EventVariant> {
            ::recount::__private::variants(<Self as ::recount::Event>::LISTED)
        }
        #[inline]
        fn encode(
            &self,
        ) -> ::core::result::Result<::recount::EventData, ::recount::EncodeError> {
            let mut __tags = ::std::vec::Vec::new();
            let __index = match self {
                Self::Opened { .. } => 0usize,
                Self::Deposited { branch: __field1, .. } => {
                    <BranchId as ::recount::ToTags>::tags(
                        __field1,
                        "branch",
                        &mut __tags,
                    )?;
                    1usize
                }
                Self::Closed { .. } => 2usize,
                Self::Moved { 0: __field0, .. } => {
                    <BranchId as ::recount::ToTags>::tags(
                        __field0,
                        "branch",
                        &mut __tags,
                    )?;
                    3usize
                }
            };
            ::recount::__private::encode(self, __index, __tags)
        }
        #[inline]
        fn decode(
            __type: &::core::primitive::str,
            __version: ::core::primitive::u32,
            __payload: &[::core::primitive::u8],
        ) -> ::core::result::Result<Self, ::recount::DecodeError> {
            match ::recount::__private::find(
                <Self as ::recount::Event>::LISTED,
                __type,
                __version,
            )? {
                (1usize, 1u32) => {
                    let __event = ::recount::__private::upcast_stored(
                        v1,
                        "v1",
                        __type,
                        __version,
                        __payload,
                    )?;
                    let __event = ::recount::__private::upcast_next(v2, "v2", __event)?;
                    ::recount::__private::upcast_last::<Self, _>(__event)
                }
                (1usize, 2u32) => {
                    let __event = ::recount::__private::upcast_stored(
                        v2,
                        "v2",
                        __type,
                        __version,
                        __payload,
                    )?;
                    ::recount::__private::upcast_last::<Self, _>(__event)
                }
                (__index, __version) => {
                    ::recount::__private::decode(__index, __type, __version, __payload)
                }
            }
        }
    }
};
