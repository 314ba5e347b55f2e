#[allow(deprecated)]
const _: () = {
    #[derive(
        ::recount::__private::serde::Serialize,
        ::recount::__private::serde::Deserialize
    )]
    #[serde(crate = "::recount::__private::serde", remote = "Account")]
    #[allow(
        dead_code,
        non_camel_case_types,
        non_snake_case,
        clippy::all,
        clippy::pedantic
    )]
    struct __Payload {
        open: bool,
        #[serde(rename = "cents")]
        balance: i64,
    }
    #[automatically_derived]
    impl ::recount::__private::Payload for Account {
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
    }
    const _: () = ::recount::__private::assert_apply::<Account>();
    const _: () = ::core::assert!(
        ! ::recount::__private::any_same(& [< Open as ::recount::Command > ::NAME], <
        Deposit as ::recount::Command > ::NAME,),
        "this command has the name of an earlier one: give it another with `#[command(name = \"…\")]`"
    );
    #[automatically_derived]
    impl ::recount::Aggregate for Account {
        type Id = AccountId;
        type Event = AccountEvent;
        type Error = AccountError;
        const NAME: &'static ::core::primitive::str = "account";
        const SNAPSHOT: ::core::option::Option<::recount::Snapshot<Self>> = ::core::option::Option::Some(::recount::Snapshot {
            every: 500u64,
            version: 1u32,
            shape: || {
                #[allow(unused_imports)]
                use ::recount::__private::Unknown as _;
                #[allow(unused_imports)]
                use ::recount::__private::NotDeserialized as _;
                static __SHAPE: ::std::sync::OnceLock<::core::primitive::u64> = ::std::sync::OnceLock::new();
                *__SHAPE
                    .get_or_init(|| {
                        const __STATE: ::recount::__private::StateShape = ::recount::__private::StateShape {
                            declared: 9569535270569454036u64,
                            forms: &[
                                ::recount::__private::Probe::<bool>::FORM.hash(),
                                ::recount::__private::Probe::<i64>::FORM.hash(),
                            ],
                            probes: &[
                                ::recount::__private::Deserialized::<bool>::SHAPE,
                                ::recount::__private::Deserialized::<i64>::SHAPE,
                            ],
                        };
                        __STATE.number::<<Self as ::recount::Aggregate>::Event>()
                    })
            },
            encode: |__state| {
                #[allow(unused_imports)]
                use ::recount::__private::Unknown as _;
                const __FIDELITY: ::recount::shape::Fidelity = ::recount::shape::Fidelity::all(
                    &[
                        ::recount::__private::Probe::<bool>::FIDELITY,
                        ::recount::__private::Probe::<i64>::FIDELITY,
                    ],
                );
                ::recount::__private::state_to_json::<Self>(__state, __FIDELITY)
            },
            decode: ::recount::__private::state_from_json::<Self>,
        });
        fn refusal_json(
            __error: &Self::Error,
        ) -> ::core::option::Option<::recount::__private::serde_json::Value> {
            #[allow(unused_imports)]
            use ::recount::__private::{Unserialized as _, Serialized as _};
            (&::recount::__private::RefusalJson(__error)).json()
        }
        fn commands() -> ::std::vec::Vec<::recount::CommandRoute<Self>> {
            ::std::vec::Vec::from([
                ::recount::CommandRoute::<Self>::of::<Open>(),
                ::recount::CommandRoute::<Self>::of::<Deposit>(),
            ])
        }
    }
};
